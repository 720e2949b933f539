import {expect, test} from '../harness/fixtures.ts';

for (const id of ['handled-error', 'unhandled-error', 'promise-rejection', 'render-error']) {
  test(`${id}: at the upstream with release, tags and stack`, async ({demo, stack}) => {
    const {facts} = await demo.press(id);
    const {item} = await stack.recorder.event(facts['event_id']);
    expect(item.json).toMatchObject({environment: 'demo', release: expect.stringMatching(/^shop@/), tags: {'gateway.project': 'shop'}});
    const frames = item.json.exception.values.flatMap((v: any) => v.stacktrace?.frames ?? []);
    expect(frames.some((f: any) => f.lineno > 0 && /\/demo\/assets\//.test(f.filename))).toBe(true);

    const stored = await stack.bugsink?.event(facts['event_id']);
    if (stored) {
      expect(stored.data.release).toBe(item.json.release);
      expect(stored.data.tags['gateway.project']).toBe('shop');
      expect(stored.data.exception.values.at(-1).stacktrace.frames.length).toBeGreaterThan(0);
    }
  });
}

test('error-burst: the budget goes upstream, every one is counted', async ({demo, stack}) => {
  const before = await stack.gateway.metric('breakwater_storm_suppressed_total', {project: 'shop'});
  const {facts} = await demo.press('error-burst');
  expect(facts['accepted'] + facts['suppressed']).toBe(120);
  expect(facts['accepted']).toBeLessThan(30);
  expect((await stack.gateway.metric('breakwater_storm_suppressed_total', {project: 'shop'})) - before).toBe(facts['suppressed']);
  const {item} = await stack.recorder.waitFor('one of the storm', (i) => i.type === 'event' && i.json?.tags?.['storm.sample_rate'] !== undefined);
  expect(Number(item.json.tags['storm.suppressed_since_last'])).toBeGreaterThan(0);
});

test('user-feedback: the words arrive', async ({demo, stack}) => {
  const {facts} = await demo.press('user-feedback');
  const {item} = await stack.recorder.event(facts['event_id']);
  expect(item.json.contexts.feedback.message).toBe('The anchor is on the wrong shelf.');
});

test('big-attachment: 5 MiB arrive byte for byte with their error', async ({demo, stack}) => {
  const {facts} = await demo.press('big-attachment');
  const {item} = await stack.recorder.waitFor('the attachment', (i, e) => i.type === 'attachment' && e.header['event_id'] === facts['event_id']);
  expect(item.bytes.length).toBe(5 << 20);
  expect(item.header['filename']).toBe('harbour-chart.bin');
});

test('pii: nothing of it leaves', async ({demo, stack}) => {
  const {facts} = await demo.press('pii');
  const {item} = await stack.recorder.event(facts['event_id']);
  const text = item.bytes.toString();
  for (const secret of ['4111 1111 1111 1111', 'DE89 3704 0044 0532 0130 00', 'correct horse battery', 'sk_demo_51H8x2yZ', '203.0.113.77']) {
    expect(text).not.toContain(secret);
  }
  expect(text).toContain('[Filtered]');
  const stored = await stack.bugsink?.event(facts['event_id']);
  if (stored) expect(JSON.stringify(stored)).not.toContain('4111 1111 1111 1111');
});

test('csp-violation: the browser’s own report reaches the upstream', async ({demo, stack}) => {
  const {facts} = await demo.press('csp-violation');
  expect(facts['outcome']).toBe('accepted');
  await stack.recorder.waitFor('a CSP report', (i) => i.type === 'raw_security' && i.bytes.includes('tracker.example'));
});

test('replay: the recording arrives with its event', async ({demo, stack}) => {
  await demo.press('replay');
  const {envelope} = await stack.recorder.waitFor('a recording', (i) => i.type === 'replay_recording');
  expect(envelope.items.map((i) => i.type)).toEqual(expect.arrayContaining(['replay_event', 'replay_recording']));
});
