/**
 * Bytes of one request. Browsers let 64 KiB of `sendBeacon` and `keepalive` requests be on their way at once, all
 * pages of a site together; what is beyond is refused.
 */
export const CAP = 60000;
const PER_REQUEST = 50; // reports the gateway takes at once
const TRIES = 5;

/** Bytes that a text has on the wire. */
export const bytes = (text: string): number => new Blob([text]).size;

/** Something that waits: entries of one group share a request. `id` says what replaces what. */
export interface Entry {
  id: string;
  json: string;
  /** Where it belongs, decided when it is sent. */
  page: string;
  tries?: number;
}

/** A way to one endpoint, with a bounded queue. */
export interface Lane {
  add(entry: Entry): void;
  /** `leaving` when the page may be gone at the next moment. */
  flush(leaving?: boolean): Promise<unknown>;
  clear(): void;
}

let flying = 0; // bytes of keepalive requests under way

/**
 * Makes a lane. `max` is how many entries may wait; `soon` whether they wait for a second, not for the page's end; `open`
 * begins a request's body for a page, which `]}` ends; `silent` says that nothing may be kept or sent.
 */
export function lane(url: string, max: number, soon: boolean, open: (page: string) => string, silent: () => boolean): Lane {
  let queue: Entry[] = [];
  let until = 0; // milliseconds since 1970: the gateway asked for silence
  let timer: ReturnType<typeof setTimeout> | undefined;

  const later = (ms: number) => {
    timer ??= setTimeout(() => {
      timer = undefined;
      void flush();
    }, ms);
  };

  const back = (part: Entry[], wait: number, lost: number) => {
    queue = [...part.filter((e) => (e.tries = (e.tries ?? 0) + lost) < TRIES), ...queue].slice(0, max);
    if (queue[0]) later(wait);
  };

  async function send(body: string, size: number, part: Entry[], leaving: boolean | undefined): Promise<void> {
    // A beacon cannot tell how it was answered, so it is for pages that would not hear the answer anyway.
    if (leaving && navigator.sendBeacon?.(url, body)) return;
    const keepalive = flying + size <= CAP;
    if (keepalive) flying += size;
    const tries = part[0]?.tries ?? 0;
    const wait = 5000 * 2 ** tries * (0.5 + Math.random());
    try {
      const answer = await fetch(url, {method: 'POST', body, keepalive, credentials: 'omit'});
      const {status, headers} = answer;
      const text = headers.get('Retry-After') ?? '';
      const whole = status === 429 || status === 503;
      if (whole || (status === 200 && text)) {
        const ms = +text >= 0 && text ? +text * 1000 : Date.parse(text) - Date.now() || 60000;
        const pause = Math.min(Math.max(ms, 1000), 864e5);
        // A list of which a part met a limit is answered report by report.
        const {reports} = whole ? {} : ((await answer.json()) as {reports?: {status: string}[]});
        until = Date.now() + pause;
        back(whole ? part : part.filter((_, i) => reports?.[i]?.status === 'limited'), pause, 0);
      } else if (status >= 500) back(part, wait, 1);
    } catch {
      back(part, wait, 1);
    } finally {
      if (keepalive) flying -= size;
    }
  }

  // Not one rejection leaves this file: it would be reported, and so cause the next one.
  const flush = (leaving?: boolean) => all(leaving).catch(() => {});

  async function all(leaving?: boolean): Promise<unknown> {
    if (silent()) queue = [];
    const pause = until - Date.now();
    if (!queue[0] || navigator.onLine === false) return; // the event "online" comes back here
    if (pause > 0) return later(pause);
    const pages = new Map<string, Entry[]>();
    for (const e of queue) {
      const head = open(e.page);
      pages.set(head, [...(pages.get(head) ?? []), e]);
    }
    queue = [];
    const sent: Promise<void>[] = [];
    for (const [head, entries] of pages) {
      let part: Entry[] = [];
      let size = bytes(head) + 2;
      const push = () => sent.push(send(head + part.map((e) => e.json).join() + ']}', size, part, leaving));
      for (const e of entries) {
        const more = bytes(e.json) + 1;
        if (size + more > CAP || part.length === PER_REQUEST) {
          push();
          part = [];
          size = bytes(head) + 2;
        }
        part.push(e);
        size += more;
      }
      push();
    }
    return Promise.all(sent);
  }

  return {
    add(entry) {
      if (silent()) return;
      const i = queue.findIndex((e) => e.id === entry.id);
      if (i >= 0) queue[i] = entry;
      else if (queue.length < max) queue.push(entry);
      // Not at once: what is measured at the moment of hiding leaves in one request, by the listener or by this.
      if (document.visibilityState === 'hidden') setTimeout(flush, 0, true);
      else if (soon || queue.length >= max) later(1000);
    },
    flush,
    clear() {
      queue = [];
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
