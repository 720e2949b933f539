import {expect, test} from '../harness/fixtures.ts';

test('offline: what happened without a network arrives afterwards, with its own time', async ({demo, stack}) => {
  const began = Date.now() / 1000;
  const {facts} = await demo.press('offline');
  for (const id of facts['event_ids'] as string[]) {
    const {item} = await stack.recorder.event(id);
    expect(item.json.timestamp).toBeGreaterThan(began - 5);
    expect(item.json.timestamp).toBeLessThan(Date.now() / 1000 + 1);
  }
});

test('upstream down for a whole scenario: the page is told 200, the report arrives later, once', async ({demo, stack}) => {
  await stack.recorder.stop();
  try {
    await demo.start('unhandled-error');
    await expect(demo.card('unhandled-error')).toContainText('answered 200: it is on disk');
  } finally {
    await stack.recorder.start();
  }
  const {facts} = await demo.passed('unhandled-error');
  await stack.recorder.event(facts['event_id'], 90_000);
  expect(stack.recorder.count((i) => i.type === 'event' && i.json?.event_id === facts['event_id'])).toBe(1);
});

test('kill -9 in the middle: what was answered 200 arrives', async ({demo, stack}) => {
  await stack.recorder.stop(); // so that it is in the spool, and nowhere else
  let id: string;
  try {
    await demo.start('handled-error');
    await expect(demo.card('handled-error')).toContainText('answered 200: it is on disk');
    id = await demo.page.evaluate(() => (window as any).demo.results['handled-error'].facts.event_id as string);
    await stack.gateway.kill();
  } finally {
    await stack.recorder.start();
    await stack.gateway.restart();
  }
  await stack.recorder.event(id, 90_000);
});
