// The app as any app would set it up: the stock SDK for errors and traces, and beside it the small client for what a
// phone measures and for what used to be Crashlytics' calls.
import AsyncStorage from '@react-native-async-storage/async-storage';
import {start, type Beacon} from '@breakwater/beacon-native';
import * as Sentry from '@sentry/react-native';

/** What became of an event of the SDK, as far as JavaScript is told. */
export interface Sent {
  id: string;
  type: string;
  /** HTTP status of the gateway; undefined when the native SDK took it over, which sends it by itself. */
  status: number | undefined;
}

const listeners = new Set<(sent: Sent) => void>();

/** Calls f for every event that was sent or handed over; gives a way to end it. */
export function onSent(f: (sent: Sent) => void): () => void {
  listeners.add(f);
  return () => listeners.delete(f);
}

/** The addresses under which a development machine is reached. */
export const defaultDSN = (os: string): string => `http://KEY@${os === 'android' ? '10.0.2.2' : '127.0.0.1'}:8080/1`;

export interface Running {
  beacon: Beacon;
  dsn: string;
  release: string;
}

/**
 * Starts everything, or starts it anew with another DSN or release. `native: false` is for machines that are no phone:
 * the SDK then sends from JavaScript.
 */
export async function startTelemetry(dsn: string, release: string, native: boolean): Promise<Running> {
  await Sentry.close();
  Sentry.init({
    dsn,
    release,
    dist: '45',
    environment: 'demo',
    enableNative: native,
    tracesSampleRate: 1,
    enableAutoPerformanceTracing: native,
  });
  Sentry.getClient()?.on('afterSendEvent', (event, response) => {
    for (const f of listeners) f({id: event.event_id ?? '', type: event.type ?? 'event', status: response?.statusCode});
  });
  const beacon = start({dsn, release, dist: '45', environment: 'demo', storage: AsyncStorage});
  return {beacon, dsn, release};
}
