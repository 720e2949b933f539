import {afterEach, vi} from 'vitest';
import type {Metric} from 'web-vitals';
import {vitals} from './setup';
import {start, type Beacon, type Options} from '../src/index';

/** One request, by fetch or by sendBeacon. */
export interface Sent {
  via: 'fetch' | 'beacon';
  url: string;
  body: any;
  size: number;
  keepalive: boolean;
}

export const sent: Sent[] = [];

/** What the gateway answers to fetch, in order; 200 when nothing is planned. */
export const answers: ((() => Response) | Error)[] = [];

/** Whether the browser takes a beacon. */
export const browser = {takesBeacons: true, hidden: false, online: true};

export const DSN = 'https://0123456789abcdef0123456789abcdef@errors.shop.example/7';

let beacon: Beacon | undefined;

/** Starts a client in a fresh browser, with a clock that stands still. */
export function begin(options: Partial<Options> = {}): Beacon {
  vi.useFakeTimers({now: new Date('2026-11-26T10:00:00Z')});
  history.replaceState(null, '', '/product/42?token=secret#top');
  Object.defineProperty(document, 'visibilityState', {configurable: true, get: () => (browser.hidden ? 'hidden' : 'visible')});
  Object.defineProperty(navigator, 'onLine', {configurable: true, get: () => browser.online});
  navigator.sendBeacon = (url, body) => {
    if (browser.takesBeacons) record('beacon', String(url), String(body), true);
    return browser.takesBeacons;
  };
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    record('fetch', url, init.body as string, init.keepalive === true);
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return answer ? answer() : new Response('{}');
  });
  return (beacon = start({dsn: DSN, release: 'shop@1.4.2', environment: 'production', ...options}));
}

function record(via: Sent['via'], url: string, body: string, keepalive: boolean): void {
  sent.push({via, url, body: JSON.parse(body), size: new Blob([body]).size, keepalive});
}

/** The page goes to the background, or comes back. */
export function hide(hidden = true): void {
  browser.hidden = hidden;
  document.dispatchEvent(new Event('visibilitychange', {bubbles: true}));
}

/** Lets time pass. */
export const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** A measurement as web-vitals makes it. */
export function measure(name: Metric['name'], value: number, more: Partial<Metric> = {}): void {
  const metric = {name, value, delta: value, id: `v6-${name}-1`, rating: 'good', navigationType: 'navigate', entries: [{}], navigationId: 1, ...more};
  vitals.get(name)?.report(metric as Metric);
}

/** All error reports that were sent. */
export const reports = (): any[] => sent.filter((s) => s.url.includes('/crash/')).flatMap((s) => s.body.reports);

/** The browser's own way to say that nobody caught an error. */
export function uncaught(error: unknown, message = 'Uncaught'): void {
  window.dispatchEvent(Object.assign(new Event('error'), {error, message, filename: 'https://shop.example/app.js', lineno: 3, colno: 14}));
}

/** The browser's own way to say that nobody caught a rejection. */
export function rejected(reason: unknown): void {
  window.dispatchEvent(Object.assign(new Event('unhandledrejection'), {reason}));
}

afterEach(() => {
  beacon?.optOut(true);
  beacon?.stop();
  vi.useRealTimers();
  vitals.clear();
  sent.length = answers.length = 0;
  Object.assign(browser, {takesBeacons: true, hidden: false, online: true});
});
