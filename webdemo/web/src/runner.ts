// Runs scenarios and keeps what became of them: for the person who pressed the button, and for a test that looks at
// `window.demo.results`.
import type {ReactNode} from 'react';
import type {Beacon} from '@breakwater/beacon';
import {metrics, sum, whereabouts, type Config, type Line, type Sample} from './gateway';
import {onSent, type Sent} from './telemetry';

export type State = 'idle' | 'running' | 'passed' | 'failed';

/** One thing that should happen, and whether it did. */
export interface Step {
  what: string;
  state: 'waiting' | 'done' | 'failed';
  detail: string;
}

/** What became of a scenario; published as `window.demo.results[id]`. */
export interface Result {
  state: State;
  steps: Step[];
  /** Event ids, counts and the like, for tests. */
  facts: Record<string, unknown>;
  /** Milliseconds since 1970. */
  startedAt: number;
  endedAt: number;
}

/** One story: a labelled button and a sentence that says what should happen. */
export interface Scenario {
  /** `data-scenario` of its card. */
  id: string;
  group: string;
  title: string;
  button: string;
  says: string;
  /** Fields of its form, by name, with what they hold at first. */
  fields?: {name: string; label: string; value: string; type?: string}[];
  run(ctx: Context): Promise<void>;
}

/** What a scenario works with. */
export interface Context {
  readonly beacon: Beacon;
  readonly config: Config;
  readonly project: Config['projects'][number];
  readonly release: string;
  /** Values of the scenario's form. */
  readonly values: Record<string, string>;
  /** Adds a step, and waits until it is done; `tell` says in words how it went. */
  step<T>(what: string, work: () => Promise<T> | T, tell?: (got: T) => string): Promise<T>;
  /** The next request of the SDK that fits, or one since the scenario began. */
  sent(fits: (s: Sent) => boolean, within?: number): Promise<Sent>;
  /** The next line of the door that fits, or one since the scenario began. */
  line(fits: (l: Line) => boolean, within?: number): Promise<Line>;
  /** All lines since the scenario began. */
  lines(): Line[];
  /** Steps that every error takes: sent, accepted, delivered or held. Gives its line. */
  arrives(eventID: string | Promise<string>): Promise<Line>;
  /** Reads /metrics until `fits` is content. */
  metrics<T>(fits: (samples: Sample[]) => T | undefined, within?: number): Promise<T>;
  /** Shows something in the scenario's card. */
  show(node: ReactNode): void;
  fact(name: string, value: unknown): void;
}

const SECOND = 1000;

export const sleep = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

/** A list that can be waited on. */
export class Log<T> {
  private readonly all: T[] = [];
  private readonly waiting = new Set<(entry: T) => void>();
  /** Called after each entry. */
  changed = () => {};

  constructor(private readonly max = 500) {}

  add(entry: T): void {
    this.all.push(entry);
    if (this.all.length > this.max) this.all.shift();
    for (const f of this.waiting) f(entry);
    this.changed();
  }
  list(): readonly T[] {
    return this.all;
  }
  /** The first entry that fits, of those there or to come. Rejects after `within` milliseconds. */
  next(fits: (entry: T) => boolean, within: number, what: string): Promise<T> {
    const there = this.all.find(fits);
    if (there) return Promise.resolve(there);
    return new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        this.waiting.delete(look);
      };
      const look = (entry: T) => {
        if (!fits(entry)) return;
        end();
        resolve(entry);
      };
      const timer = setTimeout(() => {
        end();
        reject(new Error(`${what} did not come within ${within / SECOND} s`));
      }, within);
      this.waiting.add(look);
    });
  }
}

export interface Shared {
  beacon: Beacon;
  config: Config;
  project: Config['projects'][number];
  release: string;
  door: Log<Line & {seenAt: number}>;
  requests: Log<Sent>;
}

/** Keeps the SDK's requests. */
export function watchRequests(): Log<Sent> {
  const log = new Log<Sent>();
  onSent((s) => log.add(s));
  return log;
}

export const nothingYet = (): Result => ({state: 'idle', steps: [], facts: {}, startedAt: 0, endedAt: 0});

/**
 * Runs a scenario. `changed` gets the result at every change. A step that fails ends the scenario, which is then failed
 * with what went wrong in that step; it never throws.
 */
export async function run(
  scenario: Scenario,
  shared: Shared,
  values: Record<string, string>,
  changed: (result: Result) => void,
  show: (node: ReactNode) => void,
): Promise<Result> {
  const result: Result = {...nothingYet(), state: 'running', startedAt: Date.now()};
  const tell = () => changed({...result, steps: result.steps.map((s) => ({...s})), facts: {...result.facts}});
  const since = result.startedAt;
  const ctx: Context = {
    ...shared,
    values,
    show,
    fact(name, value) {
      result.facts[name] = value;
      tell();
    },
    async step(what, work, words) {
      const step: Step = {what, state: 'waiting', detail: ''};
      result.steps.push(step);
      tell();
      try {
        const got = await work();
        step.state = 'done';
        step.detail = words?.(got) ?? '';
        tell();
        return got;
      } catch (error) {
        step.state = 'failed';
        step.detail = error instanceof Error ? error.message : String(error);
        tell();
        throw error;
      }
    },
    sent: (fits, within = 60 * SECOND) => shared.requests.next((s) => s.at >= since && fits(s), within, 'the request'),
    line: (fits, within = 60 * SECOND) => shared.door.next((l) => l.seenAt >= since && fits(l), within, 'word from the gateway'),
    lines: () => shared.door.list().filter((l) => l.seenAt >= since),
    async arrives(eventID) {
      const id = await ctx.step('The SDK sends it', async () => {
        const id = await eventID;
        if (!id) throw new Error('the SDK gave no event id');
        ctx.fact('event_id', id);
        const sent = await ctx.sent((s) => s.eventID === id);
        if (sent.status !== 200) throw new Error(`the gateway answered ${sent.status}`);
        return id;
      }, (id) => `event ${id.slice(0, 8)}, answered 200: it is on disk`);
      const line = await ctx.step('The gateway decides', () => ctx.line((l) => l.event_id === id), doorWords);
      if (line.outcome === 'accepted') {
        await ctx.step('It leaves for the upstream', async () => {
          for (let i = 0; i < 20; i++) {
            const where = await whereabouts(id);
            if (where !== 'waiting') return where;
            await sleep(250);
          }
          return 'waiting' as const;
        }, (where) => (where === 'waiting' ? 'held in the spool: there is no upstream, or it is down' : where));
      }
      return line;
    },
    async metrics(fits, within = 100 * SECOND) {
      for (const until = Date.now() + within; Date.now() < until; await sleep(SECOND)) {
        const got = fits(await metrics());
        if (got !== undefined) return got;
      }
      throw new Error(`the metrics did not say so within ${within / SECOND} s`);
    },
  };
  try {
    await scenario.run(ctx);
    result.state = 'passed';
  } catch (error) {
    result.state = 'failed';
    if (!result.steps.some((s) => s.state === 'failed')) {
      result.steps.push({what: 'Something went wrong', state: 'failed', detail: error instanceof Error ? error.message : String(error)});
    }
  }
  result.endedAt = Date.now();
  tell();
  return result;
}

/** A line of the door in words. */
export function doorWords(l: Line): string {
  return [l.outcome.replace('_', ' '), l.reason && `(${l.reason.replace(/[-_]/g, ' ')})`, l.release, l.summary && `“${l.summary}”`].filter(Boolean).join(' ');
}

/** How much a family has grown since a baseline, as a function of new samples. */
export function growth(before: Sample[], name: string, labels: Record<string, string>): (now: Sample[]) => number {
  const base = sum(before, name, labels);
  return (now) => sum(now, name, labels) - base;
}
