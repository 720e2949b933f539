import {exceptions, newID, type Breadcrumb, type Hint} from '@breakwater/beacon/report';
import {handleErrors, trackRejections} from './handlers';
import {Queue, utf8} from './queue';
import {Sender, post} from './sender';
import type {Beacon, Options, Report, Vital} from './types';

/** What the platform tells; `index.ts` asks React Native. */
export interface Platform {
  /** `ios`, `android` or another word of React Native. */
  os: string;
  device: Record<string, unknown>;
  /** Whether the app is on the screen. */
  active(): boolean;
  /** Calls f at every change; gives a function that ends it. */
  onChange(f: (active: boolean) => void): () => void;
  /** Milliseconds since the process began, undefined when nobody knows. */
  age(): number | undefined;
}

const MAX_CRUMBS = 64;
const MAX_REPORT = 30_000; // bytes
const AGAIN = 10_000; // milliseconds for which an error that looks the same is not reported again
const MAX_VITALS = 50;
const LONGEST_START = 60_000;
const COLLECT = 'breakwater.collect';
const CRASHED = 'breakwater.crashed';

/** A client that does nothing. */
export const nothing: Beacon = {
  capture: () => '',
  crash() {},
  breadcrumb() {},
  route() {},
  user() {},
  tag() {},
  appStarted() {},
  vital() {},
  flush: async () => {},
  crashedLastRun: async () => false,
  unsent: async () => 0,
  sendUnsent: async () => {},
  deleteUnsent: async () => {},
  collect: async () => {},
  collecting: () => false,
  stop() {},
};

/** Calls f; gives `otherwise` when that throws. */
export function safe<T>(f: () => T, otherwise: T): T {
  try {
    return f();
  } catch {
    return otherwise;
  }
}

const settled = (p: Promise<unknown>, ms: number) =>
  new Promise<void>((done) => {
    const timer = setTimeout(done, ms);
    const end = () => {
      clearTimeout(timer);
      done();
    };
    p.then(end, end);
  });

/** Makes a running client. Throws when the DSN is none. */
export function make(options: Options, platform: Platform): Beacon {
  const dsn = /^(https?:\/\/)(\w+)(?::\w*)?@(.+)\/(\d+)\/?$/.exec(options.dsn);
  if (!dsn) throw new Error('the dsn must be like https://KEY@host/PROJECT');
  const to = (what: string) => `${dsn[1]}${dsn[3]}/api/${dsn[4]}/${what}/?key=${dsn[2]}`;
  const {storage, release, dist, environment} = options;
  const now = Date.now;

  let crashing = false;
  let on = options.collect ?? true;
  let chosen = false; // by collect(), which counts more than what was remembered
  let lastCrash: Promise<boolean> = Promise.resolve(false);
  const remembered = (async () => {
    if (!storage) return;
    try {
      const [word, crashed] = await Promise.all([storage.getItem(COLLECT), storage.getItem(CRASHED)]);
      if (!chosen && word != null) on = word === 'yes';
      if (crashed == null) return;
      lastCrash = Promise.resolve(true);
      if (!crashing) await storage.removeItem(CRASHED);
    } catch {
      // A storage that fails remembers nothing.
    }
  })();

  const queue = new Queue(storage, {
    maxEntries: options.maxEntries ?? 32,
    maxBytes: options.maxBytes ?? 512 << 10,
    maxAge: options.maxAge ?? 30 * 86_400_000,
  });
  const sender = new Sender(to('crash'), queue, () => on);

  let crumbs: Breadcrumb[] = [];
  let user: string | null = null;
  let route = '';
  const tags = new Map<string, string>();
  const seen = new Map<string, [number, number]>(); // what an error looks like → when it was reported, how many since

  const build = (thrown: unknown, hint: Hint, fatal: boolean): Report | null => {
    const list = exceptions(thrown, hint);
    const last = list[list.length - 1]!;
    const look = `${last.type}${last.value}${last.stack}`;
    const before = seen.get(look);
    const at = now();
    if (before && !fatal && at - before[0] < AGAIN) {
      before[1]++;
      return null;
    }
    seen.delete(look);
    seen.set(look, [at, 0]);
    for (const old of seen.keys()) if (seen.size > MAX_VITALS) seen.delete(old);
    const short: Record<string, string> = {};
    const long: Record<string, string> = {};
    for (const [name, value] of tags) (value.length > 200 ? long : short)[name] = value;
    const report: Report = {
      id: newID(Uint8Array.from({length: 16}, () => Math.random() * 256)), // Hermes has no crypto
      platform: 'react-native',
      timestamp: at / 1000,
      level: hint.level ?? (fatal ? 'fatal' : 'error'),
      release,
      dist,
      environment,
      exceptions: list,
      breadcrumbs: crumbs,
      user: user ? {id: user} : undefined,
      tags: {...short, ...(route ? {route} : {}), ...(before?.[1] ? {repeated: String(before[1])} : {}), ...hint.tags},
      contexts: {...(Object.keys(long).length ? {attributes: long} : {}), ...hint.contexts},
      device: {...platform.device, ...options.device},
    };
    return options.beforeSend ? options.beforeSend(report) : report;
  };

  /** Stores a report; the promise resolves when that is done. */
  const store = (thrown: unknown, hint: Hint, fatal: boolean): [string, Promise<void>] => {
    const none: [string, Promise<void>] = ['', Promise.resolve()];
    return safe(() => {
      if (!fatal && Math.random() >= (options.errorSampleRate ?? 1)) return none;
      const report = build(thrown, hint, fatal);
      if (!report) return none;
      let json = JSON.stringify(report);
      if (utf8(json) > MAX_REPORT) {
        json = JSON.stringify({...report, exceptions: report.exceptions.slice(-1), breadcrumbs: report.breadcrumbs?.slice(-5), contexts: undefined});
      }
      if (utf8(json) > MAX_REPORT) return none;
      const stored = queue.add({id: report.id, at: now(), fatal, json});
      sender.soon(fatal ? 0 : 1000);
      return [report.id, stored];
    }, none);
  };

  const crashed = async (error: unknown): Promise<void> => {
    crashing = true;
    const flag = storage ? Promise.resolve(safe<unknown>(() => storage.setItem(CRASHED, String(now())), undefined)) : Promise.resolve();
    const [, stored] = store(error, {handled: false, mechanism: 'onerror'}, true);
    // It may be sent before the process ends; if not, the next run sends it.
    await settled(Promise.all([flag, stored]), options.crashTimeout ?? 2000);
  };

  const ends = [
    handleErrors((error, fatal) => {
      if (fatal) return crashed(error);
      store(error, {handled: false, mechanism: 'onerror'}, false);
      return Promise.resolve();
    }),
    trackRejections(options.rejectionTracking, (error) => void store(error, {handled: false, mechanism: 'onunhandledrejection'}, false)),
    platform.onChange((active) => {
      if (active) sender.wake();
      else void sender.flush();
    }),
  ];
  // A process that a push message started shows no screen, and its age would be nobody's wait.
  const begunOnScreen = platform.active();
  const measures = Math.random() < (options.sampleRate ?? 1);
  let started = false;

  let vitals: {route: string; json: string}[] = [];
  let vitalTimer: ReturnType<typeof setTimeout> | undefined;
  const sendVitals = async (): Promise<void> => {
    vitalTimer = undefined;
    const list = vitals;
    vitals = [];
    for (const name of on ? new Set(list.map((v) => v.route)) : []) {
      const head = JSON.stringify({route: name || undefined, release, environment, os: platform.os, sample_rate: options.sampleRate ?? 1});
      const body = `${head.slice(0, -1)},"vitals":[${list.filter((v) => v.route === name).map((v) => v.json).join(',')}]}`;
      await post(to('vitals'), body, now); // once: what is late says little, and is not worth a queue
    }
  };

  const beacon: Beacon = {
    capture: (error, hint = {}) => store(error, hint, hint.level === 'fatal')[0],
    crash(error) {
      const utils = (globalThis as {ErrorUtils?: {getGlobalHandler(): (e: unknown, fatal: boolean) => void}}).ErrorUtils;
      if (utils) utils.getGlobalHandler()(error, true);
      else void crashed(error);
    },
    breadcrumb(message, category = 'default') {
      crumbs = [...crumbs, {timestamp: now() / 1000, category, message: safe(() => `${message}`.slice(0, 500), '')}].slice(-MAX_CRUMBS);
    },
    route(name) {
      route = safe(() => `${name}`.slice(0, 200), '');
      beacon.breadcrumb(route, 'navigation');
    },
    user(id) {
      user = id && safe(() => `${id}`.slice(0, 128), '');
    },
    tag(name, value) {
      safe(() => {
        const key = `${name}`.slice(0, 200);
        if (value === null) tags.delete(key);
        else if (tags.has(key) || tags.size < 64) tags.set(key, `${value}`.slice(0, 1024));
      }, undefined);
    },
    appStarted(kind = 'cold') {
      if (started) return;
      started = true;
      const age = safe(() => (options.processStart === undefined ? platform.age() : now() - options.processStart), undefined);
      // One that took longer began in the background.
      if (begunOnScreen && age !== undefined && age >= 0 && age <= LONGEST_START) beacon.vital(`app_start_${kind}`, age);
    },
    vital(name: Vital, value, where = route) {
      if (!measures || vitals.length >= MAX_VITALS || !Number.isFinite(value)) return;
      vitals.push({route: where, json: JSON.stringify({name, value, id: newID(Uint8Array.from({length: 16}, () => Math.random() * 256))})});
      vitalTimer ??= setTimeout(() => void sendVitals(), 1000);
    },
    async flush() {
      await remembered;
      clearTimeout(vitalTimer);
      await Promise.all([sendVitals(), sender.flush()]);
    },
    async crashedLastRun() {
      await remembered;
      return lastCrash;
    },
    unsent: async () => (await queue.list()).length,
    sendUnsent: () => sender.flush(true),
    deleteUnsent: () => queue.clear(),
    async collect(value) {
      chosen = true;
      on = value;
      if (value) sender.soon(0);
      if (!storage) return;
      try {
        await storage.setItem(COLLECT, value ? 'yes' : 'no');
      } catch {
        // Then it holds for this run only.
      }
    },
    collecting: () => on,
    stop() {
      for (const end of ends) end();
      sender.stop();
      clearTimeout(vitalTimer);
    },
  };
  for (const [name, value] of Object.entries(options.tags ?? {})) beacon.tag(name, value);
  // What the last run left behind, once it is known whether it may be sent.
  void remembered.then(() => sender.soon(0));
  return beacon;
}
