import {expect, test, vi} from 'vitest';
import {answers, begin, browser, hide, measure, pass, reports, sent} from './harness';

const answer = (status: number, headers: Record<string, string> = {}) => () => new Response('{}', {status, headers});

test('429 with Retry-After: silence until then, then the same report with the same id', async () => {
  const beacon = begin();
  answers.push(answer(429, {'Retry-After': '30'}));
  const id = beacon.capture(new Error('first'));
  await pass(1000);
  expect(sent).toHaveLength(1);
  beacon.capture(new Error('second'));
  await beacon.flush();
  hide(); // not even while leaving
  hide(false);
  await pass(29000);
  expect(sent).toHaveLength(1);
  await pass(2000);
  expect(sent).toHaveLength(2);
  expect(sent[1]?.body.reports.map((r: any) => r.exceptions[0].value)).toEqual(['first', 'second']);
  expect(reports()[0].id).toBe(id);
  expect(reports()[1].id).toBe(id);
});

test('a list of which a part met a limit: that part comes again, after Retry-After', async () => {
  const beacon = begin();
  const fates = ['accepted', 'limited', 'invalid', 'duplicate'];
  answers.push(() => new Response(JSON.stringify({reports: fates.map((status) => ({status}))}), {status: 200, headers: {'Retry-After': '7'}}));
  const ids = fates.map((fate) => beacon.capture(new Error(fate)));
  await pass(1000);
  beacon.capture(new Error('later'));
  await pass(6000);
  expect(sent).toHaveLength(1);
  await pass(2000);
  expect(sent).toHaveLength(2);
  expect(sent[1]?.body.reports.map((r: any) => r.exceptions[0].value)).toEqual(['limited', 'later']);
  expect(sent[1]?.body.reports[0].id).toBe(ids[1]);
  await pass(600000);
  expect(sent).toHaveLength(2);
});

test.each([
  ['a date', {'Retry-After': 'Thu, 26 Nov 2026 10:02:01 GMT'}, 120],
  ['nothing', {}, 60],
  ['nonsense', {'Retry-After': 'soon'}, 60],
  ['the past', {'Retry-After': 'Thu, 26 Nov 2026 09:00:00 GMT'}, 1],
])('503 whose Retry-After is %s', async (_, headers, seconds) => {
  const beacon = begin();
  answers.push(answer(503, headers as Record<string, string>));
  beacon.capture(new Error('first'));
  await pass(1000);
  await pass(seconds * 1000 - 100);
  expect(sent).toHaveLength(1);
  await pass(100);
  expect(sent).toHaveLength(2);
});

test('a limit of one endpoint does not silence the other', async () => {
  const beacon = begin();
  answers.push(answer(429, {'Retry-After': '600'}));
  beacon.capture(new Error('limited'));
  await pass(1000);
  measure('TTFB', 120);
  hide();
  expect(sent.map((s) => [s.via, s.url.split('/').at(-2)])).toEqual([['fetch', 'crash'], ['beacon', 'vitals']]);
});

test('failures are tried five times, ever later; refusals once', async () => {
  const beacon = begin();
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
  for (let i = 0; i < 10; i++) answers.push(i % 2 ? answer(500) : new TypeError('Failed to fetch'));
  const began = Date.now();
  const times: number[] = [];
  beacon.capture(new Error('unlucky'));
  for (let i = 0; i < 200; i++) {
    await pass(1000);
    while (times.length < sent.length) times.push((Date.now() - began) / 1000);
  }
  expect(times).toEqual([1, 6, 16, 36, 76]);
  answers.length = 0;
  answers.push(answer(400));
  beacon.capture(new Error('refused'));
  await pass(600000);
  expect(sent).toHaveLength(6);
});

test('offline: nothing is tried until the browser is back', async () => {
  const beacon = begin();
  browser.online = false;
  beacon.capture(new Error('in the tunnel'));
  await pass(600000);
  expect(sent).toHaveLength(0);
  browser.online = true;
  window.dispatchEvent(new Event('online'));
  await pass(0);
  expect(reports()[0].timestamp).toBe(Date.parse('2026-11-26T10:00:00Z') / 1000); // its own time
  expect(sent[0]?.body.sent_at).toBe('2026-11-26T10:10:00.000Z');
});

test('64 KiB: requests stay under the cap, and keepalive is given up where it would be refused', async () => {
  const beacon = begin();
  let open = 0;
  let most = 0;
  const release: (() => void)[] = [];
  vi.stubGlobal('fetch', (url: string, init: RequestInit) => {
    const size = new Blob([init.body as string]).size;
    sent.push({via: 'fetch', url, body: JSON.parse(init.body as string), size, keepalive: init.keepalive === true});
    if (init.keepalive) most = Math.max(most, (open += size));
    return new Promise<Response>((done) => release.push(() => done(new Response('{}'))));
  });
  for (let i = 0; i < 15; i++) beacon.capture(Object.assign(new Error(`${i}`), {stack: 'x'.repeat(8000)}));
  await pass(1000);
  expect(sent.map((s) => s.size < 60000)).toEqual([true, true, true]);
  expect(sent.map((s) => s.keepalive)).toEqual([true, false, false]);
  expect(most).toBeLessThanOrEqual(60000);
  release.forEach((done) => done());
  await pass(0);
  for (let i = 0; i < 3; i++) beacon.capture(Object.assign(new Error(`afterwards ${i}`), {stack: 'x'.repeat(8000)}));
  await pass(1000);
  expect(sent.at(-1)?.keepalive).toBe(true); // the room was given back
  release.forEach((done) => done());
  await pass(0);
});

test('a beacon that the browser does not take goes by fetch', async () => {
  begin();
  browser.takesBeacons = false;
  measure('LCP', 1200);
  hide();
  await pass(0);
  expect(sent).toMatchObject([{via: 'fetch', keepalive: true, body: {vitals: [{name: 'LCP'}]}}]);
});
