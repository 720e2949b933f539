// A real Bugsink, from the Python package index, where that can be reached. `BUGSINK_DIR` is where `make deps` put it.
import {execFileSync} from 'node:child_process';
import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {freePort, Process, until} from './process.ts';

export interface StoredEvent {
  event_id: string;
  data: any;
}

export class Bugsink {
  private constructor(
    readonly dsn: string,
    private readonly token: string,
    private readonly base: string,
    private readonly server: Process,
  ) {}

  /** Starts it; undefined, with a notice, when it is not installed. */
  static async start(root: string): Promise<Bugsink | undefined> {
    const dir = process.env['BUGSINK_DIR'] ?? join(root, 'webdemo/stack/.bugsink');
    const script = join(root, 'webdemo/stack/bugsink.sh');
    if (!existsSync(join(dir, 'venv/bin/bugsink-manage'))) {
      console.warn('NOTICE: Bugsink is not installed (the Python package index could not be reached): the recording upstream stands in for it.');
      return undefined;
    }
    const port = await freePort();
    execFileSync(script, ['setup', dir, String(port)], {stdio: ['ignore', 'ignore', 'inherit']});
    const env = Object.fromEntries(readFileSync(join(dir, 'env'), 'utf8').trim().split('\n').map((l) => l.split(/=(.*)/s).slice(0, 2) as [string, string]));
    const server = new Process('Bugsink', script, ['serve', dir, String(port)]);
    const base = `http://127.0.0.1:${port}`;
    await server.start(`${base}/accounts/login/`);
    return new Bugsink(env['DSN'] ?? '', env['TOKEN'] ?? '', base, server);
  }

  stop(): Promise<void> {
    return this.server.kill();
  }

  private async ask<T>(path: string): Promise<T> {
    const answer = await fetch(`${this.base}/api/canonical/0${path}`, {headers: {Authorization: `Bearer ${this.token}`}});
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
    return (await answer.json()) as T;
  }

  /** The stored event with that id (32 hexadecimal digits), when it is there. */
  event(id: string, within = 120_000): Promise<StoredEvent> {
    return until(`Bugsink has event ${id}`, async () => {
      const issues = await this.ask<{results: {id: string; last_seen: string}[]}>('/issues/?project=1&sort=last_seen&order=desc');
      for (const issue of issues.results) {
        const events = await this.ask<{results: {id: string; event_id: string}[]}>(`/events/?issue=${issue.id}&order=desc`);
        const found = events.results.find((e) => e.event_id.replaceAll('-', '') === id);
        if (found) return this.ask<StoredEvent>(`/events/${found.id}/`);
      }
      return undefined;
    }, within);
  }
}
