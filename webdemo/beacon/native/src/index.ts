import {AppState, Platform} from 'react-native';
import {boundaryOf} from '@breakwater/beacon/boundary';
import {make, nothing, safe, type Platform as Ours} from './client';
import type {Beacon, Options} from './types';

export type {Breadcrumb, Hint, Level, ReportException} from '@breakwater/beacon/report';
export type {ErrorBoundaryProps} from '@breakwater/beacon/boundary';
export type {Beacon, Options, RejectionTracking, Report, Storage, Vital} from './types';

let running = nothing;

/** The client that `start` made last; one that does nothing before. */
export const current = (): Beacon => running;

/**
 * Begins to report uncaught errors and rejections, and sends what earlier runs could not. Call it first thing in the
 * app's entry file. With a DSN that is none the client does nothing, and says so. A second call stops the first client.
 */
export function start(options: Options): Beacon {
  running.stop();
  try {
    running = make(options, platform());
  } catch (error) {
    console.warn('beacon:', error instanceof Error ? error.message : error);
    running = nothing;
  }
  return running;
}

/**
 * Reports what its children throw while rendering, with React's component stack, and shows a fallback. React Native
 * treats a render error that no boundary catches as a crash, past the global handler: put one around the whole app.
 */
export const ErrorBoundary = boundaryOf(current);

function platform(): Ours {
  const constants = Platform.constants as unknown as Record<string, unknown>;
  const names: Record<string, string> = {ios: 'iOS', android: 'Android'};
  const device: Record<string, unknown> = {os: names[Platform.OS] ?? Platform.OS};
  const version: unknown = constants['Release'] ?? Platform.Version; // Android's Version is its API level
  if (version !== undefined) device['os_version'] = String(version);
  for (const [ours, theirs] of [['model', 'Model'], ['manufacturer', 'Manufacturer'], ['brand', 'Brand'], ['family', 'interfaceIdiom']] as const) {
    if (typeof constants[theirs] === 'string') device[ours] = constants[theirs];
  }
  return {
    os: Platform.OS,
    device,
    active: () => AppState.currentState !== 'background',
    onChange(f) {
      const subscription = AppState.addEventListener('change', (state) => safe(() => f(state === 'active'), undefined));
      return () => subscription.remove();
    },
    age() {
      const timing = (globalThis as {performance?: {now(): number; rnStartupTiming?: {startTime?: number | null}}}).performance;
      const begin = timing?.rnStartupTiming?.startTime;
      return timing && typeof begin === 'number' ? timing.now() - begin : undefined;
    },
  };
}
