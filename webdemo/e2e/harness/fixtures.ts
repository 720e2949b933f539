// What every spec gets: a stack that lives as long as the suite, and the demo page.
import {test as base, expect, type Page} from '@playwright/test';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {breakages} from './breakages.ts';
import {Bugsink} from './bugsink.ts';
import {Gateway} from './gateway.ts';
import {Prometheus} from './prometheus.ts';
import {Recorder} from './recorder.ts';

export const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');

export interface Stack {
  gateway: Gateway;
  recorder: Recorder;
  prometheus: Prometheus;
  /** undefined where it could not be installed. */
  bugsink: Bugsink | undefined;
}

export interface Result {
  state: 'passed' | 'failed';
  steps: {what: string; state: string; detail: string}[];
  facts: Record<string, any>;
}

/** The demo page, with its buttons. */
export class Demo {
  constructor(
    readonly page: Page,
    private readonly gateway: Gateway,
  ) {}

  async open(): Promise<this> {
    await this.page.goto(`${this.gateway.private}/demo/`);
    await this.page.waitForFunction(() => (window as any).demo?.listening);
    return this;
  }

  card(id: string) {
    return this.page.locator(`[data-scenario="${id}"]`);
  }

  /** Presses a scenario's button; `meanwhile` does what its person does. */
  async start(id: string, meanwhile?: () => Promise<void>): Promise<void> {
    await this.card(id).locator('form > button[type="submit"]').click();
    await meanwhile?.();
  }

  /** Waits for a scenario's end. It must pass, as its card says. */
  async passed(id: string, within = 200_000): Promise<Result> {
    await this.page.waitForFunction((id) => ['passed', 'failed'].includes((window as any).demo.results[id]?.state), id, {timeout: within});
    const result = (await this.page.evaluate((id) => (window as any).demo.results[id], id)) as Result;
    expect(result.state, JSON.stringify(result.steps, null, 1)).toBe('passed');
    await expect(this.card(id)).toHaveAttribute('data-state', 'passed');
    return result;
  }

  async press(id: string, meanwhile?: () => Promise<void>): Promise<Result> {
    await this.start(id, meanwhile);
    return this.passed(id);
  }
}

export const test = base.extend<{demo: Demo; balanced: void}, {stack: Stack}>({
  stack: [
    async ({}, use) => {
      const recorder = new Recorder();
      await recorder.start();
      const bugsink = await Bugsink.start(root);
      // BREAK names a part of the gateway to break, so that a spec can show that it would notice.
      const broken = breakages[process.env['BREAK'] ?? ''] ?? {fails: []};
      const upstreams = [{name: 'recorder', dsn: recorder.dsn}, ...(bugsink ? [{name: 'bugsink', dsn: bugsink.dsn}] : [])];
      const gateway = await Gateway.start(root, {
        upstreams: broken.upstreams?.(upstreams) ?? upstreams,
        top: broken.top ?? '',
        ...(broken.vitals ? {vitals: broken.vitals} : {}),
        project: `    storm: ${broken.storm ?? '{first: 10, then_one_in: 20}'}\n${broken.project ?? ''}`,
      });
      const prometheus = await Prometheus.start(`127.0.0.1:${gateway.privatePort}`);
      await use({gateway, recorder, prometheus, bugsink});
      await prometheus.stop();
      await gateway.end();
      await bugsink?.stop();
      await recorder.stop();
    },
    {scope: 'worker', timeout: 600_000},
  ],
  demo: async ({page, stack}, use) => {
    await use(await new Demo(page, stack.gateway).open());
  },
  // After every spec: the upstream saw nothing malformed, and every item has its outcome.
  balanced: [
    async ({stack}, use) => {
      await use();
      expect(stack.recorder.problems).toEqual([]);
      await stack.gateway.balanced();
    },
    {auto: true},
  ],
});

export {expect};
