import {act} from 'react';
import TestRenderer from 'react-test-renderer';
import {AppState, Text} from 'react-native';
import {current, ErrorBoundary, start, type Beacon, type Options} from '../src';
import {DSN, Gateway, Memory, pass} from './harness';

let gateway: Gateway;
let beacon: Beacon;
let changed: (state: string) => void;

function begin(options: Partial<Options> = {}): Beacon {
  return (beacon = start({dsn: DSN, release: 'shop@1.4.2', environment: 'production', ...options}));
}

beforeEach(() => {
  jest.useFakeTimers({now: new Date('2026-11-26T10:00:00Z')});
  jest.spyOn(AppState, 'addEventListener').mockImplementation((_, f) => {
    changed = f as typeof changed;
    return {remove: jest.fn()} as any;
  });
  gateway = new Gateway();
});
afterEach(() => {
  beacon?.stop();
  jest.useRealTimers();
  jest.restoreAllMocks();
});

test('a lost answer costs a request, not a second report', async () => {
  const storage = new Memory();
  begin({storage});
  gateway.loses = 2;
  const id = beacon.capture(new Error('once'));
  await pass(60_000);
  expect(gateway.requests).toHaveLength(3);
  expect(new Set(gateway.requests.map((r) => r.body.reports[0].id))).toEqual(new Set([id]));
  expect(gateway.reports).toHaveLength(1);
  expect(gateway.requests.map((r) => r.body.sent_at)).toHaveLength(new Set(gateway.requests.map((r) => r.body.sent_at)).size); // written anew
  expect(storage.reports()).toEqual([]);
});

test('429 and 503 with Retry-After, wrong keys, failures', async () => {
  jest.spyOn(Math, 'random').mockReturnValue(0.5);
  begin();
  await pass(1); // what the last run left is looked for at once
  const at: number[] = [];
  const began = Date.now();
  gateway.answers.push([429, {'Retry-After': '30'}], [503, {'Retry-After': 'Thu, 26 Nov 2026 10:02:01 GMT'}], 429, 'down', 500, 401);
  beacon.capture(new Error('patient'));
  for (let i = 0; i < 4000; i++) {
    await pass(1000);
    while (at.length < gateway.requests.length) at.push((Date.now() - began) / 1000);
  }
  expect(at).toEqual([1, 31, 121, 181, 186, 196, 3796]);
  expect(gateway.reports).toHaveLength(1);
});

test('a list of which a part met a limit: that part is kept, and comes again after Retry-After', async () => {
  const storage = new Memory();
  begin({storage, collect: false});
  const ids = ['a', 'b', 'c', 'd', 'e'].map((name) => beacon.capture(new Error(name)));
  await pass(1000);
  gateway.room = 2;
  void beacon.collect(true);
  await pass(29_000);
  expect(gateway.requests).toHaveLength(1);
  expect(storage.reports()).toHaveLength(3);
  await pass(60_000);
  expect(gateway.requests.map((r) => r.body.reports.length)).toEqual([5, 3, 1]);
  expect([...gateway.taken.keys()]).toEqual(ids);
  expect(storage.reports()).toEqual([]);
});

test('offline: kept, and sent when the app is looked at again', async () => {
  begin({storage: new Memory()});
  gateway.answers.push(...Array<'down'>(30).fill('down'));
  beacon.capture(new Error('in the tunnel'));
  await pass(300_000);
  gateway.answers.length = 0;
  expect(gateway.reports).toHaveLength(0);
  changed('active');
  await pass(1);
  expect(gateway.reports[0].timestamp).toBe(Date.parse('2026-11-26T10:00:00Z') / 1000);
  expect(gateway.requests.at(-1)?.body.sent_at).toBe('2026-11-26T10:05:00.000Z');
  beacon.capture(new Error('while leaving'));
  changed('background'); // does not wait for the second
  await pass(1);
  expect(gateway.reports).toHaveLength(2);
});

test('a queue of many leaves in requests of bounded size; 413 makes them smaller; nonsense is given up', async () => {
  const storage = new Memory();
  begin({storage, maxEntries: 32, maxBytes: 1 << 20, collect: false});
  for (let i = 0; i < 30; i++) beacon.capture(Object.assign(new Error(`${i}`), {stack: 'é'.repeat(8000)}));
  await pass(1000);
  expect(await beacon.unsent()).toBe(30);
  gateway.answers.push(413);
  await beacon.sendUnsent();
  expect(gateway.reports).toHaveLength(30);
  for (const r of gateway.requests) expect(r.size).toBeLessThanOrEqual(200_000);
  const [first, second] = gateway.requests;
  expect(second?.body.reports.length).toBe(Math.ceil(first?.body.reports.length / 2));
  gateway.answers.push(400);
  beacon.capture(new Error('refused'));
  await pass(1);
  await beacon.sendUnsent();
  expect(await beacon.unsent()).toBe(0);
});

test('collection off: kept, asked about, sent or deleted on demand; remembered', async () => {
  const storage = new Memory();
  begin({storage});
  await beacon.collect(false);
  beacon.capture(new Error('one'));
  await pass(5000);
  expect(gateway.requests).toHaveLength(0);
  beacon.stop();
  begin({storage}); // remembered, and still not sent
  await pass(5000);
  expect([beacon.collecting(), await beacon.unsent(), gateway.requests.length]).toEqual([false, 1, 0]);
  await beacon.sendUnsent();
  expect(gateway.reports).toHaveLength(1);
  beacon.capture(new Error('two'));
  await pass(1);
  await beacon.deleteUnsent();
  expect(await beacon.unsent()).toBe(0);
  await beacon.collect(true);
  beacon.capture(new Error('three'));
  await pass(1000);
  expect(gateway.reports.map((r) => r.exceptions[0].value)).toEqual(['one', 'three']);
});

test('what is known goes with a report; long values go to a context; all is bounded', async () => {
  begin({device: {battery: 0.4}});
  beacon.user('u-17');
  beacon.tag('plan', 'gold');
  beacon.tag('note', 'n'.repeat(5000));
  for (let i = 0; i < 200; i++) beacon.tag(`t${i}`, 'v');
  for (let i = 0; i < 200; i++) beacon.breadcrumb(`step ${i}`);
  beacon.route('Cart');
  beacon.capture(new Error('outer', {cause: new TypeError('inner')}), {contexts: {cart: {items: 3}}});
  await pass(1000);
  const [r] = gateway.reports;
  expect(r).toMatchObject({
    user: {id: 'u-17'}, tags: {plan: 'gold', route: 'Cart'}, device: {os: 'iOS', battery: 0.4},
    contexts: {cart: {items: 3}, attributes: {note: 'n'.repeat(1024)}},
    exceptions: [{type: 'TypeError', value: 'inner'}, {type: 'Error', value: 'outer', handled: true, mechanism: 'generic'}],
  });
  expect(Object.keys(r.tags).length).toBeLessThanOrEqual(65);
  expect(r.breadcrumbs).toHaveLength(64);
  expect(r.breadcrumbs.at(-1)).toMatchObject({category: 'navigation', message: 'Cart'});
});

test('the same error is reported once in ten seconds', async () => {
  begin();
  const error = new Error('again');
  for (let i = 0; i < 4; i++) beacon.capture(error);
  await pass(10_000);
  beacon.capture(error);
  await pass(1000);
  expect(gateway.reports.map((r) => r.tags.repeated)).toEqual([undefined, '3']);
});

test('app start: once, from the age of the process, and never from a start in the background', async () => {
  begin({processStart: Date.now() - 1234.5});
  beacon.route('Home');
  beacon.appStarted();
  beacon.appStarted();
  await pass(1000);
  expect(gateway.vitals).toEqual([
    {route: 'Home', release: 'shop@1.4.2', environment: 'production', os: 'ios', sample_rate: 1,
      vitals: [{name: 'app_start_cold', value: 1234.5, id: expect.stringMatching(/^[0-9a-f]{32}$/)}]},
  ]);
  (globalThis.performance as any).rnStartupTiming = {startTime: globalThis.performance.now() - 800};
  begin().appStarted('warm');
  await pass(1000);
  expect(gateway.vitals[1].vitals).toMatchObject([{name: 'app_start_warm', value: 800}]);
  delete (globalThis.performance as any).rnStartupTiming;
  begin().appStarted(); // nobody knows when it began
  begin({processStart: Date.now() - 61_000}).appStarted();
  AppState.currentState = 'background';
  begin({processStart: Date.now() - 1000}).appStarted();
  AppState.currentState = 'active';
  await pass(5000);
  expect(gateway.vitals).toHaveLength(2);
});

test('measurements leave together by route, once, and never without consent', async () => {
  begin();
  beacon.vital('ttid', 320, 'Cart');
  beacon.vital('ttfd', 900, 'Cart');
  beacon.vital('frames_slow', 3);
  beacon.vital('ttid', NaN);
  gateway.answers.push('down');
  await pass(60_000);
  expect(gateway.vitals.map((v) => [v.route, v.vitals.map((x: any) => x.name)])).toEqual([['Cart', ['ttid', 'ttfd']], [undefined, ['frames_slow']]]);
  await beacon.collect(false);
  beacon.vital('ttid', 320);
  await pass(5000);
  expect(gateway.vitals).toHaveLength(2);
});

test('a render error is reported by the boundary, with the component stack', async () => {
  jest.spyOn(console, 'error').mockImplementation(() => {});
  begin();
  const Price = (): React.ReactNode => {
    throw new Error('no price');
  };
  let tree!: TestRenderer.ReactTestRenderer;
  act(() => {
    tree = TestRenderer.create(<ErrorBoundary fallback={({error}) => <Text>{(error as Error).message}</Text>}><Price /></ErrorBoundary>);
  });
  expect(tree.root.findByType(Text).props['children']).toBe('no price');
  await pass(1000);
  expect(gateway.reports).toMatchObject([
    {exceptions: [{value: 'no price', handled: true, mechanism: 'react.errorboundary'}], contexts: {react: {componentStack: expect.stringContaining('Price')}}},
  ]);
  act(() => tree.unmount());
});

test('nothing throws: odd values, hooks, storages, DSNs', async () => {
  const warn = jest.spyOn(console, 'warn').mockImplementation(() => {});
  const storage = new Memory();
  storage.fails = true;
  begin({storage, beforeSend: (r) => { if (r.exceptions[0]?.value === 'throw') throw new Error('hook'); return r.exceptions[0]?.value === 'drop' ? null : r; }});
  const trap: unknown = new Proxy({}, {get: () => { throw new Error('trap'); }});
  for (const odd of [null, undefined, 0, Symbol('s'), 10n, trap, new Error('throw'), new Error('drop')]) {
    expect(() => beacon.capture(odd)).not.toThrow();
    expect(() => beacon.breadcrumb(odd as string)).not.toThrow();
    expect(() => beacon.tag(odd as string, odd as string)).not.toThrow();
    expect(() => beacon.user(odd as string)).not.toThrow();
    expect(() => beacon.route(odd as string)).not.toThrow();
  }
  await beacon.collect(true);
  expect(await beacon.crashedLastRun()).toBe(false);
  await beacon.flush();
  await beacon.deleteUnsent();
  expect(gateway.reports.map((r) => r.exceptions[0].value)).not.toContain('drop');
  for (const dsn of ['', 'https://errors.shop.example', 'nonsense']) expect(start({dsn}).capture(new Error('x'))).toBe('');
  expect(warn).toHaveBeenCalledTimes(3);
  expect(current().collecting()).toBe(false);
});

test('sampling', async () => {
  const random = jest.spyOn(Math, 'random').mockReturnValue(0.5);
  begin({errorSampleRate: 0.4, sampleRate: 0.4});
  expect(beacon.capture(new Error('no'))).toBe('');
  beacon.vital('ttid', 1);
  random.mockReturnValue(0.3);
  expect(beacon.capture(new Error('yes'))).not.toBe('');
  await pass(1000);
  expect(gateway.vitals).toHaveLength(0);
});
