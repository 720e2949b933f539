import {utf8, type Entry, type Queue} from './queue';

/** Bounds of one request; the gateway takes 50 reports and 1 MiB at once. */
const PER_REQUEST = 50;
const REQUEST_BYTES = 200_000;
const TIMEOUT = 20_000;
const LONGEST = 600_000;

/** How a request was answered: 0 when it was not. */
export interface Answer {
  status: number;
  /** Milliseconds to wait before the next one; 0 when the answer does not say. */
  wait: number;
  /** Ids of the reports that met a limit: the rest was taken or refused. */
  limited: string[];
}

/** Posts JSON. Never rejects. */
export async function post(url: string, body: string, now: () => number): Promise<Answer> {
  const abort = typeof AbortController === 'function' ? new AbortController() : undefined;
  const timer = setTimeout(() => abort?.abort(), TIMEOUT);
  const signal = abort ? {signal: abort.signal} : {};
  try {
    const response = await fetch(url, {method: 'POST', headers: {'Content-Type': 'application/json'}, body, ...signal});
    const {status} = response;
    const wait = retryAfter(response.headers.get('Retry-After'), now());
    return {status, wait, limited: status === 200 && wait ? limitedOf(await response.text()) : []};
  } catch {
    return {status: 0, wait: 0, limited: []};
  } finally {
    clearTimeout(timer);
  }
}

/** The reports of an answer to a list that shall come again. */
function limitedOf(text: string): string[] {
  try {
    const {reports} = JSON.parse(text) as {reports?: {id: string; status: string}[]};
    return (reports ?? []).filter((r) => r.status === 'limited').map((r) => r.id);
  } catch {
    return []; // not the gateway's words
  }
}

function retryAfter(text: string | null, now: number): number {
  if (!text) return 0;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 1000), 86_400_000) : 0;
}

/** Brings what a queue holds to the gateway: one request at a time, each report until it is taken or refused. */
export class Sender {
  private running: Promise<void> | undefined;
  private again = false;
  private until = 0; // milliseconds since 1970: not before
  private failures = 0;
  private most = PER_REQUEST;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private due = 0;

  constructor(
    private readonly url: string,
    private readonly queue: Queue,
    private readonly allowed: () => boolean,
    private readonly now: () => number = Date.now,
  ) {}

  /** Sends after a while, so that a burst is one request; sooner, if that was planned already. */
  soon(ms = 1000): void {
    const due = this.now() + ms;
    if (this.timer !== undefined && this.due <= due) return;
    clearTimeout(this.timer);
    this.due = due;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      void this.flush();
    }, ms);
  }

  /** The network may be back: what waits for better times need not. A limit still holds. */
  wake(): void {
    if (this.failures) this.until = 0;
    this.soon(0);
  }

  /** Sends what is stored, if that is allowed or `forced`. Resolves when no more can be done now. */
  flush(forced = false): Promise<void> {
    if (this.running && forced) return this.running.then(() => this.flush(true));
    if (this.running) this.again = true;
    return (this.running ??= this.drain(forced)
      .catch(() => {})
      .then(() => {
        this.running = undefined;
        if (this.again) {
          this.again = false;
          this.soon(0);
        }
      }));
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private async drain(forced: boolean): Promise<void> {
    while (forced || this.allowed()) {
      const pause = this.until - this.now();
      const part = this.part(await this.queue.list());
      if (!part.length) return;
      if (pause > 0) return this.soon(pause);
      const sent = new Set(part.map((e) => e.id));
      const head = `{"sent_at":"${new Date(this.now()).toISOString()}","reports":[`;
      const {status, wait, limited} = await post(this.url, head + part.map((e) => e.json).join(',') + ']}', this.now);
      if (status === 413 && part.length > 1) {
        this.most = Math.ceil(part.length / 2);
        continue;
      }
      if ((status >= 200 && status < 300) || status === 400 || status === 413 || status === 422) {
        // Taken, known already, or such that nobody will ever take it.
        this.failures = 0;
        for (const id of limited) sent.delete(id);
        await this.queue.remove(sent);
        if (!limited.length) continue;
        this.until = this.now() + wait;
        return this.soon(wait);
      }
      if (status === 429 || status === 503) {
        this.failures = 0; // the network is well
        this.until = this.now() + (wait || 60_000);
      }
      // A wrong key or address is put right by a release or an operator, not by haste.
      else if (status === 401 || status === 403 || status === 404) this.until = this.now() + 3_600_000;
      else this.until = this.now() + Math.min(5000 * 2 ** this.failures++ * (0.5 + Math.random()), LONGEST);
      return this.soon(this.until - this.now());
    }
  }

  private part(list: Entry[]): Entry[] {
    const part: Entry[] = [];
    let bytes = utf8('{"sent_at":"2026-11-26T10:00:00.000Z","reports":[]}');
    for (const e of list) {
      if (part.length && (part.length >= this.most || bytes + e.bytes + 1 > REQUEST_BYTES)) break;
      part.push(e);
      bytes += e.bytes + 1;
    }
    return part;
  }
}
