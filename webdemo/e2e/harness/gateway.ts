// A gateway process of the suite, with a data directory of its own.
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {freePort, Process, until} from './process.ts';

export const KEY = 'd3a0b1c2d3e4f5061728394a5b6c7d8e';

export interface Upstream {
  name: string;
  dsn: string;
}

export interface GatewayOptions {
  upstreams: Upstream[];
  /** Further keys of the project, as YAML, and of the top level. */
  project?: string;
  top?: string;
  vitals?: string;
}

export class Gateway {
  readonly dir = mkdtempSync(join(tmpdir(), 'breakwater-e2e-'));
  private process: Process;

  private constructor(
    private readonly root: string,
    readonly publicPort: number,
    readonly privatePort: number,
    private readonly options: GatewayOptions,
  ) {
    this.process = this.make();
  }

  static async start(root: string, options: GatewayOptions): Promise<Gateway> {
    const g = new Gateway(root, await freePort(), await freePort(), options);
    await g.restart();
    return g;
  }

  private make(): Process {
    const config = join(this.dir, 'breakwater.yml');
    const upstreams = this.options.upstreams.map((u) => `{name: ${u.name}, type: sentry, dsn: "${u.dsn}"}`).join(', ');
    // Vitals settle soon and headless browsers count, so that a test need not wait a minute.
    writeFileSync(config, `server: {listen: "127.0.0.1:${this.publicPort}", admin_listen: "127.0.0.1:${this.privatePort}"}
spool: {dir: "${this.dir}/spool", min_free: 0B}
limits: {per_ip: {rate: 1000/s, burst: 10000}}
vitals: ${this.options.vitals ?? '{settle: 2s, settle_max: 20s, count_bots: true}'}
${this.options.top ?? ''}
projects:
  - id: 1
    name: shop
    keys: [{public: ${KEY}, name: web}]
    upstreams: [${upstreams}]
${this.options.project ?? ''}`, {mode: 0o600});
    return new Process('gateway', join(this.root, 'bin/breakwater'), ['--config', config], {BREAKWATER_DATA_DIR: this.dir}, this.root);
  }

  /** Starts it, after a kill again, with the same addresses and data. */
  async restart(): Promise<void> {
    await this.process.start(`${this.private}/-/ready`);
  }

  /** kill -9. */
  kill(): Promise<void> {
    return this.process.kill();
  }

  async end(): Promise<void> {
    await this.kill();
    rmSync(this.dir, {recursive: true, force: true});
  }

  get public(): string {
    return `http://127.0.0.1:${this.publicPort}`;
  }
  get private(): string {
    return `http://127.0.0.1:${this.privatePort}`;
  }
  get dsn(): string {
    return `http://${KEY}@127.0.0.1:${this.publicPort}/1`;
  }

  /** The sum of a family's samples whose labels fit. */
  async metric(name: string, labels: Record<string, string> = {}): Promise<number> {
    const text = await (await fetch(`${this.private}/metrics`)).text();
    let sum = 0;
    for (const line of text.split('\n')) {
      const m = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line.split(' # ')[0] ?? '');
      if (!m || m[1] !== name) continue;
      if (Object.entries(labels).every(([k, v]) => (m[2] ?? '').includes(`${k}="${v}"`))) sum += Number(m[3]);
    }
    return sum;
  }

  /** Received − outcomes − in the spool, over everything: zero when the books are closed. */
  async ledger(): Promise<number> {
    const accepted = await this.metric('breakwater_items_outcome_total', {outcome: 'accepted'});
    const all = await this.metric('breakwater_items_outcome_total');
    const came = (await this.metric('breakwater_items_received_total')) + (await this.metric('breakwater_items_recovered')) + (await this.metric('breakwater_items_requeued_total'));
    return came - (all - accepted) - (await this.metric('breakwater_items_in_spool'));
  }

  balanced(): Promise<true> {
    return until('the ledger is closed', async () => ((await this.ledger()) === 0 ? true : undefined), 60_000);
  }
}
