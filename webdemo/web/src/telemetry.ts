// The page as any page would set it up: the stock SDK for errors, the beacon client for Web Vitals. Beside that it only
// watches: which envelopes left, and how they were answered.
import {start, type Beacon} from '@breakwater/beacon';
import * as Sentry from '@sentry/react';

/** One request of the SDK. */
export interface Sent {
  at: number;
  /** Type and payload of each item; the payload is undefined where it is no JSON. */
  items: {type: string; payload: unknown; size: number}[];
  eventID: string;
  /** 0 when there was no answer. */
  status: number;
}

const listeners = new Set<(sent: Sent) => void>();

/** Calls f for every request that was answered or failed; gives a way to end it. */
export function onSent(f: (sent: Sent) => void): () => void {
  listeners.add(f);
  return () => listeners.delete(f);
}

export const network = {
  /** false: the SDK's requests fail as without a network. The browser's own developer tools do the same. */
  online: true,
};

/** Reads an envelope: a header, then for each item a header and a payload. */
export function readEnvelope(body: string | Uint8Array): Pick<Sent, 'items' | 'eventID'> {
  const data = typeof body === 'string' ? new TextEncoder().encode(body) : body;
  const text = new TextDecoder();
  let at = 0;
  const line = () => {
    const end = data.indexOf(10, at);
    const piece = data.subarray(at, end < 0 ? data.length : end);
    at = end < 0 ? data.length : end + 1;
    return piece;
  };
  const json = (piece: Uint8Array): unknown => {
    try {
      return JSON.parse(text.decode(piece));
    } catch {
      return undefined;
    }
  };
  const header = json(line()) as {event_id?: string} | undefined;
  const items: Sent['items'] = [];
  while (at < data.length) {
    const head = json(line()) as {type?: string; length?: number} | undefined;
    if (!head?.type) continue;
    const payload = typeof head.length === 'number' ? data.subarray(at, at + head.length) : line();
    if (typeof head.length === 'number') at += head.length + 1;
    items.push({type: head.type, payload: json(payload), size: payload.length});
  }
  return {items, eventID: header?.event_id ?? ''};
}

/** Starts everything. A page of release 1.4.2 is the bad one. */
export function startTelemetry(dsn: string, release: string): Beacon {
  const watched: typeof fetch = async (input, init) => {
    const body = init?.body;
    const sent: Sent = {at: Date.now(), status: 0, ...readEnvelope(typeof body === 'string' || body instanceof Uint8Array ? body : '')};
    try {
      if (!network.online) throw new TypeError('Failed to fetch');
      const answer = await fetch(input, init);
      sent.status = answer.status;
      return answer;
    } finally {
      for (const f of listeners) f(sent);
    }
  };
  Sentry.init({
    dsn,
    release,
    environment: 'demo',
    integrations: [
      Sentry.browserTracingIntegration({traceFetch: false}), // the page asks the gateway about itself all the time
      Sentry.replayIntegration({maskAllText: true}),
    ],
    tracesSampleRate: 1,
    replaysSessionSampleRate: 0,
    replaysOnErrorSampleRate: 0, // a scenario records one
    transport: Sentry.makeBrowserOfflineTransport((options) => Sentry.makeFetchTransport(options, watched)),
  });
  return start({dsn, release, environment: 'demo', route: '/demo', softNavigations: true, ignorePrivacySignals: true});
}
