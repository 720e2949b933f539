import {onCLS, onFCP, onINP, onLCP, onTTFB, type Metric} from 'web-vitals';
import {CAP, bytes, lane} from './lane';
import {exceptions, newID} from './report';
import type {Beacon, Breadcrumb, Hint, Options, Report} from './types';

export type {Beacon, Breadcrumb, Hint, Level, Options, Report, ReportException} from './types';

const MAX_VITALS = 50;
const MAX_REPORTS = 20;
const MAX_CRUMBS = 30;
const MAX_ROUTES = 50;
const AGAIN = 10000; // milliseconds for which an error that looks the same is not sent again

const nothing: Beacon = {
  capture: () => '',
  breadcrumb() {},
  route() {},
  user() {},
  tag() {},
  flush: () => Promise.resolve(),
  optOut() {},
  stop() {},
};

let running = nothing;

/** The client that `start` made last; one that does nothing before. */
export const current = (): Beacon => running;

/** Calls f, and never throws into the page. */
function safe<T>(f: () => T, otherwise: T): T {
  try {
    return f();
  } catch {
    return otherwise;
  }
}

/** Puts a pair into a map of at most max; the oldest goes. */
function keep<T>(map: Map<string, T>, key: string, value: T, max: number): void {
  map.delete(key);
  map.set(key, value);
  for (const old of map.keys()) if (map.size > max) map.delete(old);
}

/**
 * Begins to measure Web Vitals and to report uncaught errors and rejections. Where there is no page (rendering on a
 * server), and with a DSN that is none, the client does nothing. A second call stops the first client.
 */
export function start(options: Options): Beacon {
  running.stop();
  return (running = safe(() => make(options), nothing));
}

function make(options: Options): Beacon {
  const dsn = /^(https?:\/\/)(\w+)(?::\w*)?@(.+)\/(\d+)\/?$/.exec(options.dsn);
  if (!dsn || typeof window === 'undefined') {
    if (!dsn) console.warn('beacon: the dsn must be like https://KEY@host/PROJECT');
    return nothing;
  }
  const {release, environment} = options;
  const to = (what: string) => `${dsn[1]}${dsn[3]}/api/${dsn[4]}/${what}/`;
  const sample = options.sampleRate ?? 1;
  const privacy = navigator as Navigator & {globalPrivacyControl?: boolean; doNotTrack?: string};
  const refused = !options.ignorePrivacySignals && (privacy.globalPrivacyControl === true || privacy.doNotTrack === '1');
  let out = false;
  // A choice that cannot be asked for counts as no.
  const silent = () => out || refused || safe(() => options.optOut?.() ?? false, true);

  // Queries and fragments may hold personal data: they stay here.
  const plain = (url = location.href) => url.replace(/[?#].*/s, '').slice(0, 2048);
  const pathOf = (url: string) => new URL(url).pathname;
  const landing = plain();
  const routes = new Map<string, string>();
  const {route} = options;
  const routeOf = (url: string) => routes.get(pathOf(url)) ?? (typeof route === 'function' ? safe(() => route(pathOf(url)), undefined) : url === landing ? route : undefined);

  const vitals = lane(
    to('vitals') + '?key=' + dsn[2],
    MAX_VITALS,
    false,
    (url) =>
      JSON.stringify({route: routeOf(url), url, release, environment, trace_id: options.traceId, sample_rate: sample}).slice(0, -1) +
      ',"vitals":[',
    silent,
  );
  const crashes = lane(to('crash') + '?key=' + dsn[2], MAX_REPORTS, true, () => `{"sent_at":"${new Date().toISOString()}","reports":[`, silent);

  const measured = (m: Metric) =>
    safe(() => {
      const {name, value, delta, id, rating, navigationType} = m;
      // What was measured belongs to the page it was measured on: by the time it is sent another may be shown.
      const soft = navigationType === 'soft-navigation';
      const page = plain(m.navigationURL ?? landing);
      const more = soft ? {navigationId: m.navigationId, navigationURL: page} : {};
      vitals.add({id: name + id, page, json: JSON.stringify({name, value, delta, id, rating, navigationType, ...more})});
    }, undefined);
  if (Math.random() < sample) {
    const opts = {reportSoftNavs: options.softNavigations ?? false};
    for (const on of [onTTFB, onFCP, onLCP, onCLS, onINP]) safe(() => on(measured, opts), undefined);
  }

  let crumbs: Breadcrumb[] = [];
  let user: string | null = null;
  const tags: Record<string, string> = {...options.tags};
  const seen = new Map<string, [number, number]>(); // what an error looks like → when it was sent, how many since

  const capture = (error: unknown, hint: Hint = {}) =>
    safe(() => {
      if (silent() || Math.random() >= (options.errorSampleRate ?? 1)) return '';
      const list = exceptions(error, hint);
      const thrown = list[list.length - 1];
      const look = `${thrown?.type}${thrown?.value}${thrown?.stack}`;
      const now = Date.now();
      const last = seen.get(look);
      if (last && now - last[0] < AGAIN) {
        last[1]++;
        return '';
      }
      keep(seen, look, [now, 0], MAX_REPORTS);
      const url = plain();
      const route = routeOf(url);
      let report: Report | null = {
        id: newID(),
        platform: 'javascript',
        timestamp: now / 1000,
        level: hint.level ?? 'error',
        release,
        environment,
        exceptions: list,
        breadcrumbs: crumbs,
        user: user ? {id: user} : undefined,
        tags: {...tags, ...(route ? {route} : {}), ...(last?.[1] ? {repeated: '' + last[1]} : {}), ...hint.tags},
        contexts: {page: {url}, ...hint.contexts},
      };
      if (options.beforeSend) report = options.beforeSend(report);
      if (!report) return '';
      let json = JSON.stringify(report);
      if (bytes(json) > CAP / 2) json = JSON.stringify({...report, exceptions: list.slice(-1), breadcrumbs: undefined, contexts: undefined});
      if (bytes(json) > CAP / 2) return '';
      crashes.add({id: report.id, page: '', json});
      return report.id;
    }, '');

  const beacon: Beacon = {
    capture,
    breadcrumb: (message, category = 'default') => {
      crumbs = [...crumbs, {timestamp: Date.now() / 1000, category, message: `${message}`.slice(0, 500)}].slice(-MAX_CRUMBS);
    },
    route: (template) =>
      safe(() => {
        keep(routes, pathOf(plain()), template, MAX_ROUTES);
        beacon.breadcrumb(template, 'navigation');
      }, undefined),
    user: (id) => {
      user = id && `${id}`.slice(0, 128);
    },
    tag: (name, value) => {
      if (value === null) delete tags[name];
      else tags[`${name}`.slice(0, 200)] = `${value}`.slice(0, 200);
    },
    flush: async () => {
      await Promise.all([vitals.flush(), crashes.flush()]);
    },
    optOut: (value) => {
      out = value;
      if (value) clear();
    },
    stop: () => {
      leave();
      for (const [name, handler] of listeners) removeEventListener(name, handler as EventListener);
      beacon.optOut(true);
    },
  };
  const clear = () => {
    vitals.clear();
    crashes.clear();
  };
  const leave = () => {
    void vitals.flush(true);
    void crashes.flush(true);
  };
  const listeners: [string, (event: never) => void][] = [
    [
      'error',
      (e: ErrorEvent) => {
        // A script of another origin without CORS tells nothing but this.
        if (!e.error && (!e.message || /^Script error/.test(e.message))) return;
        const place = {message: e.message, name: 'Error', stack: `${e.message}\n    at ${e.filename}:${e.lineno}:${e.colno}`};
        capture(e.error ?? place, {handled: false, mechanism: 'onerror'});
      },
    ],
    ['unhandledrejection', (e: PromiseRejectionEvent) => void capture(e.reason, {handled: false, mechanism: 'onunhandledrejection'})],
    // On window and while bubbling, so after web-vitals has said its last.
    ['visibilitychange', () => document.visibilityState === 'hidden' && leave()],
    ['pagehide', leave],
    ['online', () => void beacon.flush()],
  ];
  for (const [name, handler] of listeners) addEventListener(name, handler as EventListener);
  return beacon;
}
