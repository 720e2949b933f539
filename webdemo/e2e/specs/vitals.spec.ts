import {expect, test} from '../harness/fixtures.ts';

for (const [id, vital, poor] of [['slow-lcp', 'LCP', 4], ['layout-jump', 'CLS', 0.25], ['slow-interaction', 'INP', 0.5]] as const) {
  test(`${id}: one poor ${vital}, in /metrics and in Prometheus`, async ({demo, stack}) => {
    const family = vital === 'CLS' ? 'web_vitals_cls' : `web_vitals_${vital.toLowerCase()}_seconds`;
    const {facts} = await demo.press(id, async () => {
      if (id === 'slow-interaction') await demo.page.frameLocator('iframe.shop-frame').locator('#pay').click();
    });
    expect(facts['rating']).toBe('poor');
    expect(facts['value']).toBeGreaterThan(poor);
    expect(await stack.gateway.metric('web_vitals_ratings_total', {vital, rating: 'poor', environment: 'demo'})).toBeGreaterThanOrEqual(1);
    await stack.prometheus.above(`sum(${family}_count{environment="demo"})`, 0);
    await stack.prometheus.above(`sum(web_vitals_ratings_total{environment="demo",vital="${vital}",rating="poor"})`, 0);
  });
}

test('soft-navigation: two traces under two names', async ({demo, stack}) => {
  await demo.press('soft-navigation');
  await stack.recorder.waitFor('the navigation', (i) => (i.type === 'transaction' || i.type === 'span') && i.bytes.includes('/demo/orders/7'));
});

test('bad-release: 1.4.2 stands out, in Prometheus too', async ({demo, stack}) => {
  const errored = async (release: string) => (await stack.prometheus.query(`sum(release_sessions_total{environment="demo",release="${release}",status="errored"})`)) ?? 0;
  const before = {good: await errored('shop@1.4.1'), bad: await errored('shop@1.4.2')};
  const {facts} = await demo.press('bad-release');
  const [good, bad] = facts['error_free'] as [number, number];
  expect(bad).toBeLessThan(good);
  await expect.poll(async () => (await errored('shop@1.4.2')) - before.bad).toBeGreaterThanOrEqual(3);
  expect((await errored('shop@1.4.1')) - before.good).toBeLessThan((await errored('shop@1.4.2')) - before.bad);
});

test('release switch: the page’s reports carry the bad release', async ({demo, stack}) => {
  await demo.page.getByRole('radio', {name: /1\.4\.2/}).check();
  await demo.page.waitForFunction(() => (window as any).demo?.listening && document.querySelector('.release')?.getAttribute('data-release') === 'shop@1.4.2');
  const {facts} = await demo.press('handled-error');
  expect((await stack.recorder.event(facts['event_id'])).item.json.release).toBe('shop@1.4.2');
});
