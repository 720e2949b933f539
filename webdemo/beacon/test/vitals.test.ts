import {expect, test, vi} from 'vitest';
import {current, start} from '../src/index';
import {begin, DSN, hide, measure, pass, rejected, sent, uncaught} from './harness';
import {vitals} from './setup';

test('vitals wait for the page to be hidden, and leave in one beacon with route and release', async () => {
  const beacon = begin({sampleRate: 1, traceId: '0af7651916cd43dd8448eb211c80319c'});
  measure('TTFB', 120);
  measure('FCP', 800);
  await pass(60000);
  expect(sent).toHaveLength(0);
  beacon.route('/product/:id'); // routers come up after the first paint
  measure('LCP', 1834.2);
  // What web-vitals reports in the moment of hiding is in it, too.
  document.addEventListener('visibilitychange', () => measure('CLS', 0.04), {once: true});
  hide();
  window.dispatchEvent(new Event('pagehide'));
  await pass(1000);
  expect(sent).toHaveLength(1);
  expect(sent[0]).toMatchObject({
    via: 'beacon',
    url: 'https://errors.shop.example/api/7/vitals/?key=0123456789abcdef0123456789abcdef',
    body: {
      route: '/product/:id', release: 'shop@1.4.2', environment: 'production', trace_id: '0af7651916cd43dd8448eb211c80319c', sample_rate: 1,
      url: expect.stringMatching(/\/product\/42$/),
      vitals: [
        {name: 'TTFB', value: 120, delta: 120, id: 'v6-TTFB-1', rating: 'good', navigationType: 'navigate'},
        {name: 'FCP', value: 800}, {name: 'LCP', value: 1834.2}, {name: 'CLS', value: 0.04},
      ],
    },
  });
});

test('an update of the same id replaces what still waits, and follows what is gone', () => {
  begin();
  measure('CLS', 0.01);
  measure('CLS', 0.05, {delta: 0.04});
  hide();
  hide(false);
  measure('CLS', 0.2, {delta: 0.15});
  hide();
  expect(sent.map((s) => s.body.vitals.map((v: any) => [v.value, v.delta]))).toEqual([[[0.05, 0.04]], [[0.2, 0.15]]]);
});

test('a vital belongs to the page it was measured on', () => {
  const beacon = begin({softNavigations: true});
  expect(vitals.get('LCP')?.opts).toEqual({reportSoftNavs: true});
  beacon.route('/product/:id');
  history.pushState(null, '', '/cart?coupon=x');
  beacon.route('/cart');
  measure('LCP', 900); // of the page that was loaded
  measure('LCP', 300, {id: 'v6-LCP-2', navigationType: 'soft-navigation', navigationId: 2, navigationURL: `${location.origin}/cart?coupon=x`});
  hide();
  expect(sent.map((s) => [s.body.route, s.body.vitals[0].value])).toEqual([['/product/:id', 900], ['/cart', 300]]);
  expect(sent[1]?.body.vitals[0]).toMatchObject({navigationType: 'soft-navigation', navigationId: 2, navigationURL: `${location.origin}/cart`});
});

test('a route may be a function; one that throws costs only itself', async () => {
  begin({route: (path) => path.replace(/\d+/, ':id')});
  measure('FCP', 1);
  hide();
  expect(sent[0]?.body.route).toBe('/product/:id');
  begin({route: () => { throw new Error('no'); }});
  hide(false);
  measure('FCP', 1);
  hide();
  expect(sent[1]?.body.vitals).toHaveLength(1);
});

test('sampling decides once for a page', () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
  begin({sampleRate: 0.4});
  expect(vitals.size).toBe(0);
  begin({sampleRate: 0.6});
  expect(vitals.size).toBe(5);
});

test('whoever opts out is left alone, before, in between and by the browser', async () => {
  let out = true;
  const beacon = begin({optOut: () => out});
  measure('FCP', 1);
  expect(beacon.capture(new Error('x'))).toBe('');
  out = false;
  measure('LCP', 2);
  expect(beacon.capture(new Error('y'))).not.toBe('');
  out = true; // what waits is not sent either
  hide();
  await pass(5000);
  expect(sent).toHaveLength(0);

  hide(false);
  begin({optOut: () => { throw new Error('cannot tell'); }}).capture(new Error('z'));
  const other = begin();
  other.capture(new Error('kept'));
  other.optOut(true);
  await pass(5000);
  expect(sent).toHaveLength(0);
  other.optOut(false);
  other.capture(new Error('again'));
  await pass(1000);
  expect(sent).toHaveLength(1);
});

test.each([{doNotTrack: '1'}, {globalPrivacyControl: true}])('%o counts unless told otherwise', async (signal) => {
  for (const [name, value] of Object.entries(signal)) Object.defineProperty(navigator, name, {configurable: true, value});
  begin().capture(new Error('x'));
  await pass(1000);
  expect(sent).toHaveLength(0);
  begin({ignorePrivacySignals: true}).capture(new Error('x'));
  await pass(1000);
  expect(sent).toHaveLength(1);
  for (const name of Object.keys(signal)) Object.defineProperty(navigator, name, {configurable: true, value: undefined});
});

test('stop takes every listener away', () => {
  const added = vi.spyOn(globalThis, 'addEventListener');
  const removed = vi.spyOn(globalThis, 'removeEventListener');
  begin().stop();
  expect(added.mock.calls.length).toBeGreaterThan(3);
  expect(removed.mock.calls).toEqual(expect.arrayContaining(added.mock.calls)); // start stops the client before, too
});

test('the second start replaces the first; stop ends it', async () => {
  const first = begin();
  const second = begin();
  expect(current()).toBe(second);
  expect(first.capture(new Error('from the first'))).toBe('');
  uncaught(new Error('once'));
  await pass(1000);
  expect(sent).toHaveLength(1);
  measure('FCP', 10);
  second.stop();
  expect(sent).toHaveLength(2); // what waited
  uncaught(new Error('after'));
  rejected(new Error('after'));
  measure('LCP', 10);
  hide();
  await pass(5000);
  expect(sent).toHaveLength(2);
});

test('a DSN that is none makes a client that does nothing', () => {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
  for (const dsn of ['', 'https://errors.shop.example', 'https://errors.shop.example/7', 'ftp://a@b/1', 'https://k@h/x']) {
    const beacon = start({dsn});
    expect(beacon.capture(new Error('x'))).toBe('');
    expect(() => beacon.stop()).not.toThrow();
  }
  expect(warn).toHaveBeenCalledTimes(5);
  for (const dsn of [DSN, 'http://key:secret@127.0.0.1:8080/1', 'https://key@host/some/path/1/']) expect(start({dsn})).not.toBe(current().stop);
  expect(warn).toHaveBeenCalledTimes(5);
  start({dsn: DSN}).stop();
});
