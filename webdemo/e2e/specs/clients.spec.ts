// The stock SDK on a page of its own, on another origin, in the ways apps use it.
import {devices} from '@playwright/test';
import {servePage} from '../driver.mjs';
import {expect, root, test} from '../harness/fixtures.ts';
import {Gateway} from '../harness/gateway.ts';

/** A page of another origin with the stock browser SDK; `query` are the SDK's options. */
async function shop(query: Record<string, string>) {
  const served = await servePage('specs/shop.ts');
  return {url: `${served.url}/?${new URLSearchParams(query)}`, close: served.close};
}

test('tunnel: the envelope goes to one path, the upstream learns nothing of it', async ({page, stack}) => {
  const s = await shop({dsn: stack.gateway.dsn, tunnel: `${stack.gateway.public}/t`});
  try {
    const posts: string[] = [];
    page.on('request', (r) => void (r.method() === 'POST' && posts.push(new URL(r.url()).pathname)));
    await page.goto(s.url);
    const id = await page.evaluate(() => (window as any).fail('lost in the tunnel'));
    const {envelope} = await stack.recorder.event(id);
    expect(JSON.stringify(envelope.header)).not.toContain(stack.gateway.dsn); // the client's address ends here
    expect(new Set(posts)).toEqual(new Set(['/t']));
  } finally {
    s.close();
  }
});

test('CORS: a page of another origin may send and read, one that is not allowed may not', async ({page, stack}) => {
  const s = await shop({dsn: stack.gateway.dsn});
  const strict = await Gateway.start(root, {upstreams: [{name: 'recorder', dsn: stack.recorder.dsn}], project: '    allowed_origins: ["https://shop.example"]\n'});
  const refused = await shop({dsn: strict.dsn});
  try {
    await page.goto(s.url);
    await stack.recorder.event(await page.evaluate(() => (window as any).fail('from elsewhere')));
    await page.goto(refused.url);
    const answer = page.waitForResponse((r) => r.url().includes('/envelope/') && r.request().method() === 'POST' && r.status() === 403);
    await page.evaluate(() => (window as any).fail('from nowhere'));
    expect((await answer).headers()['access-control-allow-origin']).toBe('*');
    await expect.poll(() => strict.metric('breakwater_items_outcome_total', {outcome: 'unauthorized', reason: 'cors'})).toBeGreaterThan(0);
  } finally {
    s.close();
    refused.close();
    await strict.end();
  }
});

test('429 by category: the SDK stops its errors and nothing else', async ({page, stack}) => {
  const limited = await Gateway.start(root, {
    upstreams: [{name: 'recorder', dsn: stack.recorder.dsn}],
    project: '    limits: {per_key: {rate: 500/s, burst: 2000}, categories: {error: {rate: 1/h, burst: 1}}}\n',
  });
  const s = await shop({dsn: limited.dsn});
  try {
    const sent: {types: string[]; status: number}[] = [];
    page.on('response', (r) => {
      if (r.request().method() !== 'POST') return;
      const body = r.request().postData() ?? '';
      sent.push({types: [...body.matchAll(/^\{"type":"(\w+)"/gm)].map((m) => m[1] ?? ''), status: r.status()});
    });
    const status = (type: string) => sent.filter((r) => r.types.includes(type)).map((r) => r.status);
    await page.goto(s.url);
    for (const n of [1, 2]) {
      await page.evaluate((n) => (window as any).fail(`error ${'abcde'[n - 1]}`), n);
      await expect.poll(() => status('event').length).toBe(n);
    }
    expect(status('event')).toEqual([200, 429]);
    for (const n of [3, 4, 5]) await page.evaluate((n) => (window as any).fail(`error ${'abcde'[n - 1]}`), n);
    const transactions = status('transaction').length;
    await page.evaluate(() => (window as any).transaction('checkout'));
    await expect.poll(() => status('transaction').length).toBeGreaterThan(transactions);
    expect(status('transaction').every((s) => s === 200)).toBe(true);
    expect(status('event')).toEqual([200, 429]);
    expect(status('session').every((s) => s === 200)).toBe(true);
  } finally {
    s.close();
    await limited.end();
  }
});

test('a phone: the demo page works, and the device of its vitals is mobile', async ({browser, stack}) => {
  const context = await browser.newContext(devices['Pixel 7']);
  try {
    const page = await context.newPage();
    await page.goto(`${stack.gateway.private}/demo/`);
    await page.waitForFunction(() => (window as any).demo?.listening);
    const card = page.locator('[data-scenario="handled-error"]');
    await card.locator('form > button[type="submit"]').tap();
    await expect(card).toHaveAttribute('data-state', 'passed');
    const before = await stack.gateway.metric('web_vitals_ratings_total', {device: 'mobile', environment: 'demo'});
    await page.evaluate(() => { // the person looks at something else: the page's last words, while it still is a phone's
      Object.defineProperty(document, 'visibilityState', {value: 'hidden'});
      document.dispatchEvent(new Event('visibilitychange', {bubbles: true}));
    });
    await expect.poll(() => stack.gateway.metric('web_vitals_ratings_total', {device: 'mobile', environment: 'demo'}), {timeout: 120_000}).toBeGreaterThan(before);
  } finally {
    await context.close();
  }
});
