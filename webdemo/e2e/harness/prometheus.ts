// A real Prometheus, from Debian's packages, that scrapes the suite's gateway every second.
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {freePort, Process, until} from './process.ts';

export class Prometheus {
  private constructor(
    private readonly base: string,
    private readonly dir: string,
    private readonly server: Process,
  ) {}

  static async start(target: string): Promise<Prometheus> {
    const dir = mkdtempSync(join(tmpdir(), 'breakwater-e2e-prometheus-'));
    const port = await freePort();
    const config = join(dir, 'prometheus.yml');
    writeFileSync(config, `global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n  - job_name: breakwater\n    static_configs: [{targets: ["${target}"]}]\n`);
    const server = new Process('Prometheus', 'prometheus', [`--config.file=${config}`, `--storage.tsdb.path=${dir}/data`, `--web.listen-address=127.0.0.1:${port}`, '--log.level=warn']);
    const base = `http://127.0.0.1:${port}`;
    await server.start(`${base}/-/ready`);
    return new Prometheus(base, dir, server);
  }

  async stop(): Promise<void> {
    await this.server.kill();
    rmSync(this.dir, {recursive: true, force: true});
  }

  /** The value of an expression with one series, undefined without any. */
  async query(expr: string): Promise<number | undefined> {
    const answer = (await (await fetch(`${this.base}/api/v1/query?query=${encodeURIComponent(expr)}`)).json()) as {status: string; error?: string; data: {result: {value: [number, string]}[]}};
    if (answer.status !== 'success') throw new Error(answer.error);
    const first = answer.data.result[0];
    return first && Number(first.value[1]);
  }

  /** Waits until an expression is above a bound, and gives its value. */
  above(expr: string, bound: number, within = 60_000): Promise<number> {
    return until(`${expr} > ${bound} in Prometheus`, async () => {
      const v = await this.query(expr);
      return v !== undefined && v > bound ? v : undefined;
    }, within);
  }
}
