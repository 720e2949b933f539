import type {Storage} from '../src/types';

/** An AsyncStorage in memory that can fail, hang, and be cut off at any write. */
export class Memory implements Storage {
  readonly map = new Map<string, string>();
  fails = false;
  hangs = false;
  writes = 0;

  private async may(): Promise<void> {
    if (this.hangs) await new Promise(() => {});
    await Promise.resolve(); // never at once, as on a phone
    if (this.fails) throw new Error('disk full');
  }
  async getItem(key: string): Promise<string | null> {
    await this.may();
    return this.map.get(key) ?? null;
  }
  async setItem(key: string, value: string): Promise<void> {
    await this.may();
    this.writes++;
    this.map.set(key, value);
  }
  async removeItem(key: string): Promise<void> {
    await this.may();
    this.map.delete(key);
  }
  reports(): string[] {
    return [...this.map].filter(([key]) => key.startsWith('breakwater.report.')).map(([, value]) => value);
  }
}

/** A gateway behind `fetch`: knows ids, answers as it is told. */
export class Gateway {
  readonly requests: {url: string; body: any; size: number}[] = [];
  readonly taken = new Map<string, any>();
  readonly answers: (number | [number, Record<string, string>] | 'down')[] = [];
  loses = 0; // answers that get lost after the reports were taken
  room = Infinity; // reports of a list before the rest of it meets a limit

  constructor() {
    (globalThis as {fetch: unknown}).fetch = async (url: string, init: {body: string}) => {
      const body = JSON.parse(init.body);
      this.requests.push({url, body, size: Buffer.byteLength(init.body)});
      const answer = this.answers.shift() ?? 200;
      if (answer === 'down') throw new TypeError('Network request failed');
      const [status, headers] = typeof answer === 'number' ? [answer, {}] : answer;
      let reply: unknown = {};
      if (status === 200 && body.reports) {
        if (body.reports.length > this.room) (headers as Record<string, string>)['Retry-After'] = '30';
        reply = {
          reports: body.reports.map((r: any, i: number) => {
            if (i >= this.room) return {id: r.id, status: 'limited'};
            const repeat = this.taken.has(r.id);
            this.taken.set(r.id, r);
            return {id: r.id, status: repeat ? 'duplicate' : 'accepted'};
          }),
        };
        if (this.loses-- > 0) throw new TypeError('Network request failed');
      }
      return new Response(JSON.stringify(reply), {status, headers: headers as Record<string, string>});
    };
  }
  get reports(): any[] {
    return [...this.taken.values()];
  }
  get vitals(): any[] {
    return this.requests.filter((r) => r.url.includes('/vitals/')).map((r) => r.body);
  }
}

/** Lets promises settle and time pass. */
export async function pass(ms: number): Promise<void> {
  await jest.advanceTimersByTimeAsync(ms);
}

export const DSN = 'https://0123456789abcdef0123456789abcdef@errors.shop.example/7';
