import {expect, test, vi} from 'vitest';
import {begin, browser, hide, pass, rejected, reports, sent, uncaught} from './harness';

test('an uncaught error becomes a report with release, route and the raw stack', async () => {
  const beacon = begin({route: '/product/:id', tags: {team: 'cart'}});
  beacon.user('u-17');
  beacon.tag('plan', 'gold');
  beacon.breadcrumb('pressed pay', 'click');
  const error = new TypeError('x is undefined');
  uncaught(error);
  expect(sent).toHaveLength(0); // a burst leaves in one request
  await pass(1000);
  expect(sent[0]).toMatchObject({
    via: 'fetch',
    keepalive: true,
    url: 'https://errors.shop.example/api/7/crash/?key=0123456789abcdef0123456789abcdef',
    body: {sent_at: '2026-11-26T10:00:01.000Z'},
  });
  expect(reports()).toEqual([
    {
      id: expect.stringMatching(/^[0-9a-f]{32}$/),
      platform: 'javascript',
      timestamp: Date.parse('2026-11-26T10:00:00Z') / 1000,
      level: 'error',
      release: 'shop@1.4.2',
      environment: 'production',
      exceptions: [{type: 'TypeError', value: 'x is undefined', stack: error.stack, handled: false, mechanism: 'onerror'}],
      breadcrumbs: [{timestamp: expect.any(Number), category: 'click', message: 'pressed pay'}],
      user: {id: 'u-17'},
      tags: {team: 'cart', plan: 'gold', route: '/product/:id'},
      contexts: {page: {url: expect.stringMatching(/\/product\/42$/)}}, // neither query nor fragment
    },
  ]);
});

test('rejections, values that are no errors, and causes', async () => {
  begin();
  rejected(new RangeError('too far'));
  rejected('just text');
  rejected({code: 7});
  rejected(undefined);
  const cyclic: Record<string, unknown> = {};
  cyclic['self'] = cyclic;
  rejected(cyclic);
  uncaught(new Error('outer', {cause: new TypeError('middle', {cause: new Error('inner', {cause: new Error('too deep')})})}));
  uncaught(null, 'ResizeObserver loop');
  uncaught(null, 'Script error.');
  await pass(1000);
  const seen = reports().map((r) => r.exceptions.map((e: any) => [e.type, e.value, e.mechanism, e.handled]));
  expect(seen).toEqual([
    [['RangeError', 'too far', 'onunhandledrejection', false]],
    [['UnhandledRejection', 'just text', 'onunhandledrejection', false]],
    [['UnhandledRejection', '{"code":7}', 'onunhandledrejection', false]],
    [['UnhandledRejection', 'undefined', 'onunhandledrejection', false]],
    [['UnhandledRejection', '[object Object]', 'onunhandledrejection', false]],
    [['Error', 'inner', undefined, undefined], ['TypeError', 'middle', undefined, undefined], ['Error', 'outer', 'onerror', false]],
    [['Error', 'ResizeObserver loop', 'onerror', false]],
  ]);
  expect(reports().at(-1).exceptions[0].stack).toBe('ResizeObserver loop\n    at https://shop.example/app.js:3:14');
});

test('what looks the same is sent once in ten seconds, and the next one says how many there were', async () => {
  const beacon = begin();
  const error = new Error('again');
  for (let i = 0; i < 5; i++) beacon.capture(error);
  await pass(9999);
  expect(beacon.capture(error)).toBe('');
  expect(reports()).toHaveLength(1);
  await pass(1);
  expect(beacon.capture(error)).not.toBe('');
  await pass(1000);
  expect(reports().map((r) => r.tags.repeated)).toEqual([undefined, '5']);
});

test('a flood is bounded: the first twenty wait, the rest is left out', async () => {
  const beacon = begin();
  for (let i = 0; i < 1000; i++) beacon.capture(new Error(`number ${i}`));
  await pass(1000);
  expect(reports().map((r) => r.exceptions[0].value)).toEqual(Array.from({length: 20}, (_, i) => `number ${i}`));
});

test('long reports are cut, and none is larger than a request may be', async () => {
  const beacon = begin();
  for (let i = 0; i < 100; i++) beacon.breadcrumb('é'.repeat(5000));
  const huge = (cause?: unknown) => Object.assign(new Error('ü'.repeat(50000), {cause}), {stack: 'ß'.repeat(100000)});
  for (let i = 0; i < 4; i++) beacon.capture(Object.assign(huge(huge(huge())), {name: `E${i}`}), {handled: false});
  await pass(1000);
  expect(reports()).toHaveLength(4);
  for (const s of sent) expect(s.size).toBeLessThan(60000);
  const thrown = reports()[0].exceptions.at(-1);
  expect([thrown.value.length, thrown.stack.length]).toEqual([1000, 8000]);
});

test('beforeSend may change a report or drop it', async () => {
  const beacon = begin({
    beforeSend: (r) => {
      const value = r.exceptions[0]?.value;
      if (value === 'drop') return null;
      if (value === 'throw') throw new Error('in the hook');
      return {...r, tags: {looked: 'yes'}};
    },
  });
  expect(beacon.capture(new Error('drop'))).toBe('');
  expect(beacon.capture(new Error('throw'))).toBe('');
  beacon.capture(new Error('keep'));
  await pass(1000);
  expect(reports().map((r) => [r.exceptions[0].value, r.tags])).toEqual([['keep', {looked: 'yes'}]]);
});

test('sampling of errors', async () => {
  const random = vi.spyOn(Math, 'random').mockReturnValue(0.3);
  const beacon = begin({errorSampleRate: 0.25});
  expect(beacon.capture(new Error('unlucky'))).toBe('');
  random.mockReturnValue(0.2);
  expect(beacon.capture(new Error('lucky'))).not.toBe('');
});

test('an error of a page that is being left goes by sendBeacon', async () => {
  const beacon = begin();
  beacon.capture(new Error('last words'));
  hide();
  expect(sent.map((s) => s.via)).toEqual(['beacon']);
  beacon.capture(new Error('even later'));
  await pass(0);
  expect(sent.map((s) => s.via)).toEqual(['beacon', 'beacon']);
});

test('nothing that a page does makes the client throw', async () => {
  const beacon = begin();
  const trap = new Proxy({}, {get: () => { throw new Error('trap'); }, getPrototypeOf: () => { throw new Error('trap'); }});
  for (const odd of [null, undefined, 0, NaN, Symbol('s'), 10n, () => 1, trap, {toJSON: () => { throw new Error('no'); }}, {message: {}, name: 1}]) {
    expect(() => beacon.capture(odd)).not.toThrow();
    expect(() => rejected(odd)).not.toThrow();
  }
  navigator.sendBeacon = () => { throw new Error('blocked'); };
  vi.stubGlobal('fetch', () => { throw new Error('blocked'); });
  const unhandled = vi.fn();
  window.addEventListener('unhandledrejection', unhandled);
  expect(() => hide()).not.toThrow();
  expect(() => window.dispatchEvent(new Event('pagehide'))).not.toThrow();
  browser.hidden = false;
  beacon.capture(new Error('more'));
  await pass(2000);
  await expect(beacon.flush()).resolves.toBeUndefined();
  expect(unhandled).not.toHaveBeenCalled();
  window.removeEventListener('unhandledrejection', unhandled);
});
