// What the page asks the gateway's private listener: who it is, what became of each item, what the metrics say.

/** `/demo/config.json`. */
export interface Config {
  version: string;
  /** Origin of the public listener. */
  public: string;
  projects: {id: string; name: string; key: string; dsn: string}[];
}

/** One item at the door, as `/api/v1/tail` tells it. */
export interface Line {
  at: string;
  project: string;
  category: string;
  quantity: number;
  outcome: 'accepted' | 'rate_limited' | 'filtered' | 'suppressed' | 'invalid' | 'unauthorized';
  reason?: string;
  endpoint?: string;
  event_id?: string;
  release?: string;
  summary?: string;
}

/** One place that scrubbing changed. */
export interface Hit {
  path: string;
  rule: string;
}

async function ask<T>(path: string, init?: RequestInit): Promise<T> {
  const answer = await fetch(path, {headers: {Accept: 'application/json', 'Content-Type': 'application/json'}, ...init});
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return (await answer.json()) as T;
}

export const config = (): Promise<Config> => ask('/demo/config.json');

/** What the project's rules make of a payload; nothing is stored. */
export const scrub = (project: string, type: string, payload: unknown): Promise<{payload: unknown; hits: Hit[]}> =>
  ask('/demo/scrub', {method: 'POST', body: JSON.stringify({project, type, payload})});

/** Where an accepted event is: still in the spool, given up, or gone to every upstream. */
export async function whereabouts(eventID: string): Promise<'waiting' | 'dead letter' | 'delivered'> {
  const id = encodeURIComponent(eventID);
  const [waiting, dead] = await Promise.all([
    ask<{records: {state: string}[]}>(`/api/v1/spool/records?event_id=${id}`),
    ask<{records: unknown[]}>(`/api/v1/dead-letters?event_id=${id}`),
  ]);
  return waiting.records.length ? 'waiting' : dead.records.length ? 'dead letter' : 'delivered';
}

/** One sample of `/metrics`. */
export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** Reads the text format. Comments, exemplars and what is no sample are left out. */
export function parseMetrics(text: string): Sample[] {
  const list: Sample[] = [];
  for (const line of text.split('\n')) {
    const m = /^([a-zA-Z_:][\w:]*)(?:\{(.*?)\})? ([-+\d.e]+|[-+]?Inf|NaN)(?: |$)/i.exec(line.replace(/\\"/g, '\u0001'));
    if (!m || line.startsWith('#')) continue;
    const labels: Record<string, string> = {};
    for (const [, name = '', value = ''] of (m[2] ?? '').matchAll(/(\w+)="([^"]*)"/g)) {
      labels[name] = value.replace(/\u0001/g, '"').replace(/\\n/g, '\n').replace(/\\\\/g, '\\');
    }
    list.push({name: m[1] ?? '', labels, value: Number(m[3]?.replace('Inf', 'Infinity'))});
  }
  return list;
}

/** The sum of a family's samples whose labels fit; 0 when there is none. */
export function sum(samples: Sample[], name: string, labels: Record<string, string>): number {
  return samples
    .filter((s) => s.name === name && Object.entries(labels).every(([k, v]) => s.labels[k] === v))
    .reduce((n, s) => n + s.value, 0);
}

export async function metrics(): Promise<Sample[]> {
  const answer = await fetch('/metrics');
  if (!answer.ok) throw new Error(`/metrics answered ${answer.status}`);
  return parseMetrics(await answer.text());
}

/** Listens to the door. `connected` is told when the stream opens and breaks; it comes back by itself. */
export function tail(project: string, line: (l: Line) => void, connected: (on: boolean) => void): () => void {
  const source = new EventSource(`/api/v1/tail?project=${encodeURIComponent(project)}`);
  source.addEventListener('item', (e) => line(JSON.parse((e as MessageEvent<string>).data) as Line));
  source.addEventListener('open', () => connected(true));
  source.addEventListener('error', () => connected(false));
  return () => source.close();
}
