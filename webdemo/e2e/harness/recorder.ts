// An upstream that speaks Sentry's protocol, takes what comes and remembers it.
import {createServer, type IncomingMessage, type Server, type ServerResponse} from 'node:http';
import {gunzipSync} from 'node:zlib';
import {until} from './process.ts';

export interface Item {
  type: string;
  header: Record<string, unknown>;
  /** The payload as JSON, undefined when it is none. */
  json: any;
  bytes: Buffer;
}

export interface Envelope {
  header: Record<string, any>;
  items: Item[];
  at: number;
}

/** What the recorder answers: 200, or another status, or nothing at all. */
export type Mood = number | 'refuse';

export class Recorder {
  readonly envelopes: Envelope[] = [];
  readonly problems: string[] = [];
  mood: Mood = 200;
  private server: Server | undefined;
  private port = 0;

  async start(): Promise<void> {
    this.server = createServer((req, res) => void this.take(req, res));
    await new Promise<void>((done) => this.server!.listen(this.port, '127.0.0.1', done));
    const address = this.server.address();
    if (address && typeof address === 'object') this.port = address.port;
  }

  /** Nobody listens any more, until `start`. */
  async stop(): Promise<void> {
    const ended = new Promise<void>((done) => (this.server ? this.server.close(() => done()) : done()));
    this.server?.closeAllConnections(); // after that, or one more might come in between
    await ended;
  }

  get dsn(): string {
    return `http://0123456789abcdef0123456789abcdef@127.0.0.1:${this.port}/5`;
  }

  private async take(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const c of req) chunks.push(c as Buffer);
    if (this.mood === 'refuse') return void req.socket.destroy();
    if (this.mood !== 200) return void res.writeHead(this.mood).end('{}');
    try {
      const raw = Buffer.concat(chunks);
      this.envelopes.push(parse(req.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw));
      res.writeHead(200, {'Content-Type': 'application/json'}).end('{}');
    } catch (error) {
      this.problems.push(String(error));
      res.writeHead(400).end('{"detail":"bad envelope"}');
    }
  }

  /** The first envelope with an item that fits, of those there or to come. */
  waitFor(what: string, fits: (item: Item, envelope: Envelope) => boolean, within = 60_000): Promise<{envelope: Envelope; item: Item}> {
    return until(`the upstream gets ${what}`, () => {
      for (const envelope of this.envelopes) {
        const item = envelope.items.find((i) => fits(i, envelope));
        if (item) return {envelope, item};
      }
      return undefined;
    }, within);
  }

  /** The event with that id. */
  event(id: string, within?: number) {
    return this.waitFor(`event ${id}`, (i) => (i.type === 'event' || i.type === 'feedback') && i.json?.event_id === id, within);
  }

  count(fits: (item: Item) => boolean): number {
    return this.envelopes.reduce((n, e) => n + e.items.filter(fits).length, 0);
  }
}

/** Reads an envelope; every item must say its length, as a gateway writes it. */
function parse(raw: Buffer): Envelope {
  let at = raw.indexOf(10);
  const header = JSON.parse(raw.subarray(0, at < 0 ? raw.length : at).toString()) as Record<string, any>;
  const items: Item[] = [];
  while (at >= 0 && at + 1 < raw.length) {
    const end = raw.indexOf(10, at + 1);
    const line = raw.subarray(at + 1, end < 0 ? raw.length : end).toString();
    if (line === '') {
      at = end;
      continue;
    }
    const itemHeader = JSON.parse(line) as Record<string, unknown>;
    const length = itemHeader['length'];
    if (typeof length !== 'number') throw new Error(`an item of type ${String(itemHeader['type'])} has no length`);
    const bytes = raw.subarray(end + 1, end + 1 + length);
    if (bytes.length !== length) throw new Error('an item is shorter than it says');
    let json: unknown;
    try {
      json = JSON.parse(bytes.toString());
    } catch {
      json = undefined;
    }
    items.push({type: String(itemHeader['type']), header: itemHeader, json, bytes});
    at = end + 1 + length;
  }
  return {header, items, at: Date.now()};
}
