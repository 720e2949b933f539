// Child processes of the suite: ended by their id, never by name.
import {spawn, type ChildProcess} from 'node:child_process';
import {createServer} from 'node:net';

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => (address && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port'))));
    });
  });
}

/** Waits until `ask` gives something, and gives that; the last error otherwise. */
export async function until<T>(what: string, ask: () => Promise<T | undefined> | T | undefined, within = 60_000): Promise<T> {
  let last: unknown;
  for (const end = Date.now() + within; Date.now() < end; ) {
    try {
      const got = await ask();
      if (got !== undefined) return got;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await new Promise((done) => setTimeout(done, 150));
  }
  throw new Error(`${what}: not within ${within / 1000} s${last ? `; last: ${String(last)}` : ''}`);
}

export class Process {
  private child: ChildProcess | undefined;
  private said: string[] = [];
  private ended: Promise<void> = Promise.resolve();

  constructor(
    private readonly name: string,
    private readonly command: string,
    private readonly args: string[],
    private readonly env: Record<string, string> = {},
    private readonly cwd?: string,
  ) {}

  /** Starts it, and waits until `url` answers below 500. */
  async start(url: string): Promise<void> {
    const child = spawn(this.command, this.args, {env: {...process.env, ...this.env}, cwd: this.cwd, stdio: ['ignore', 'pipe', 'pipe']});
    this.child = child;
    for (const out of [child.stdout, child.stderr]) out?.on('data', (b: Buffer) => (this.said = [...this.said.slice(-200), b.toString()]));
    let over = false;
    this.ended = new Promise((done) => child.once('exit', () => ((over = true), done())));
    child.once('error', () => (over = true));
    await until(`${this.name} answers`, async () => {
      if (over) throw new Error(`${this.name} ended:\n${this.said.join('').slice(-3000)}`);
      const answer = await fetch(url, {signal: AbortSignal.timeout(10_000), redirect: 'manual'});
      return answer.status < 500 ? true : undefined;
    }, 120_000);
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.child?.kill('SIGKILL');
    await this.ended;
  }

  output(): string {
    return this.said.join('');
  }
}
