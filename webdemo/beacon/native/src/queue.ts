import type {Storage} from './types';

/** A stored report. */
export interface Entry {
  id: string;
  /** Milliseconds since 1970. */
  at: number;
  fatal: boolean;
  json: string;
  bytes: number;
}

/** Bounds of a queue. */
export interface Bounds {
  maxEntries: number;
  maxBytes: number;
  /** Milliseconds. */
  maxAge: number;
}

const SLOT = 'breakwater.report.';

/** Bytes of a text in UTF-8. */
export function utf8(text: string): number {
  let n = text.length;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c > 0x7ff) n += 2;
    else if (c > 0x7f) n++;
    // A pair has four bytes: two for its two units, and two more, which its first half has brought.
    if (c >= 0xd800 && c < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) i++;
  }
  return n;
}

/**
 * Reports on their way, in a fixed number of slots of a storage: one write stores a report and one removal ends it, so
 * there is no index that could be wrong after a kill. A storage that fails, or forgets, costs what it holds, nothing
 * else. Not two of them may use one storage.
 */
export class Queue {
  private readonly slots: (Entry | undefined)[];
  private last: Promise<unknown>; // operations run one after another

  constructor(
    private readonly storage: Storage | undefined,
    private readonly bounds: Bounds,
    private readonly now: () => number = Date.now,
  ) {
    this.slots = new Array<Entry | undefined>(bounds.maxEntries);
    this.last = this.load();
  }

  private run<T>(work: () => Promise<T>): Promise<T> {
    const next = this.last.then(work);
    this.last = next.catch(() => {});
    return next;
  }

  private async load(): Promise<void> {
    await Promise.all(
      Array.from(this.slots, async (_, i) => {
        const text = await this.ask((s) => s.getItem(SLOT + i));
        if (text == null) return;
        const [head = '', json = ''] = text.split(/\n(.*)/s);
        const [id = '', at = '', fatal = '', size = ''] = head.split(' ');
        // A value that was cut off, or is not ours, would only be refused.
        if (/^[0-9a-f]{32}$/.test(id) && Number(size) === json.length && json) {
          this.slots[i] = {id, at: Number(at), fatal: fatal === '1', json, bytes: utf8(json)};
        } else {
          await this.ask((s) => s.removeItem(SLOT + i));
        }
      }),
    );
    await this.trim();
  }

  /** Asks the storage; undefined when it fails. */
  private async ask<T>(what: (s: Storage) => Promise<T>): Promise<T | undefined> {
    try {
      return this.storage && (await what(this.storage));
    } catch {
      return undefined;
    }
  }

  private entries(): Entry[] {
    return this.slots.filter((e) => e !== undefined).sort((a, b) => a.at - b.at);
  }

  private async drop(gone: Entry): Promise<void> {
    const i = this.slots.indexOf(gone);
    if (i < 0) return;
    this.slots[i] = undefined;
    await this.ask((s) => s.removeItem(SLOT + i));
  }

  /** Lets old reports go, then, while there is too much, the oldest that is no crash, then the oldest crash. */
  private async trim(room = 0, bytes = 0): Promise<void> {
    const {maxEntries, maxBytes, maxAge} = this.bounds;
    for (const e of this.entries()) if (this.now() - e.at > maxAge) await this.drop(e);
    for (let list = this.entries(); list.length; list = this.entries()) {
      if (list.length + room <= maxEntries && list.reduce((n, e) => n + e.bytes, bytes) <= maxBytes) return;
      await this.drop(list.find((e) => !e.fatal) ?? list[0]!);
    }
  }

  /** Stores a report. Resolves when the storage has it, or has failed. */
  add(entry: Omit<Entry, 'bytes'>): Promise<void> {
    return this.run(async () => {
      const e = {...entry, bytes: utf8(entry.json)};
      if (e.bytes > this.bounds.maxBytes) return;
      // A crash is not given up for what is none.
      const crashes = this.entries().filter((x) => x.fatal);
      if (!e.fatal && (crashes.length >= this.bounds.maxEntries || crashes.reduce((n, x) => n + x.bytes, e.bytes) > this.bounds.maxBytes)) return;
      await this.trim(1, e.bytes);
      const i = this.slots.findIndex((s) => s === undefined);
      if (i < 0) return;
      this.slots[i] = e;
      await this.ask((s) => s.setItem(SLOT + i, `${e.id} ${e.at} ${e.fatal ? 1 : 0} ${e.json.length}\n${e.json}`));
    });
  }

  /** What is stored and young enough, oldest first. */
  list(): Promise<Entry[]> {
    return this.run(async () => {
      await this.trim();
      return this.entries();
    });
  }

  /** Ends reports by id. */
  remove(ids: ReadonlySet<string>): Promise<void> {
    return this.run(async () => {
      for (const e of this.entries()) if (ids.has(e.id)) await this.drop(e);
    });
  }

  /** Ends all reports. */
  clear(): Promise<void> {
    return this.run(async () => {
      for (const e of this.entries()) await this.drop(e);
    });
  }
}
