// The whole app in React Native's test renderer, with the stock SDK (its native half left out: there is no phone) and
// real requests: to a gateway whose DSN is in GATEWAY_DSN, or to a server that this test starts.
import {createServer, type Server} from 'node:http';
import type {AddressInfo} from 'node:net';
import {act} from 'react';
import TestRenderer, {type ReactTestInstance} from 'react-test-renderer';
import {App} from '../src/App';
import {scenarios} from '../src/scenarios';

jest.mock('@react-native-async-storage/async-storage', () => require('@react-native-async-storage/async-storage/jest/async-storage-mock'));

const posts: {path: string; body: string}[] = [];
let server: Server | undefined;
let dsn = process.env['GATEWAY_DSN'] ?? '';

beforeAll(async () => {
  if (dsn) return;
  server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (c: Buffer) => chunks.push(c));
    req.on('end', () => {
      posts.push({path: req.url ?? '', body: Buffer.concat(chunks).toString('latin1')});
      res.end('{}');
    });
  });
  await new Promise<void>((done) => server!.listen(0, '127.0.0.1', done));
  dsn = `http://0123456789abcdef0123456789abcdef@127.0.0.1:${(server.address() as AddressInfo).port}/1`;
});
afterAll(() => server?.close());

const sleep = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

/** Waits, letting React work, until f is content. */
async function until(what: string, f: () => boolean, within = 30_000): Promise<void> {
  for (const end = Date.now() + within; Date.now() < end; ) {
    if (f()) return;
    await act(() => sleep(50));
  }
  throw new Error(`${what} did not happen within ${within / 1000} s`);
}

const textOf = (node: ReactTestInstance): string =>
  node.children.map((c) => (typeof c === 'string' ? c : textOf(c))).join('');

test('every scenario does what its sentence says', async () => {
  jest.spyOn(console, 'error').mockImplementation(() => {});
  jest.spyOn(console, 'warn').mockImplementation(() => {});
  (globalThis as any).ErrorUtils.setGlobalHandler(() => {}); // where a red box would come up
  let tree!: TestRenderer.ReactTestRenderer;
  await act(async () => {
    tree = TestRenderer.create(<App dsn={dsn} native={false} />);
  });
  const find = (id: string) => tree.root.find((n) => n.props['testID'] === id && typeof n.type !== 'string');
  const press = (id: string) => act(async () => find(id).props['onPress']());
  expect(textOf(find('running'))).toBe('Not started');
  await press('release-shop@1.4.1');
  await until('the start', () => textOf(find('running')).startsWith('Release shop@1.4.1'));

  const results: Record<string, string> = {};
  for (const s of scenarios) {
    if (s.phone) {
      expect(find(s.id).props['disabled']).toBe(true);
      expect(textOf(find(`state-${s.id}`))).toBe('needs a phone with the native SDK');
      continue;
    }
    if (s.id === 'bad-release') {
      await press('release-shop@1.4.2');
      await until('the switch', () => textOf(find('running')).startsWith('Release shop@1.4.2'));
    }
    await press(s.id);
    await until(s.id, () => /as it should be/.test(textOf(find(`state-${s.id}`))), 120_000);
    results[s.id] = textOf(find(`state-${s.id}`)) === 'as it should be' ? 'passed' : textOf(find(`card-${s.id}`));
  }
  expect(results).toEqual(Object.fromEntries(scenarios.filter((s) => !s.phone).map((s) => [s.id, 'passed'])));
  await act(async () => tree.unmount());
  if (!server) return;

  // What the server saw, beside the answers it gave.
  const envelopes = posts.filter((p) => p.path.includes('/envelope/')).map((p) => p.body);
  const has = (...parts: string[]) => envelopes.some((e) => parts.every((p) => e.includes(p)));
  expect(has('"type":"event"', 'cannot read the price of', '"release":"shop@1.4.1"', '"dist":"45"', 'react-native')).toBe(true);
  expect(has('the stock of', 'RangeError')).toBe(true);
  expect(has('"type":"transaction"', '"Cart"')).toBe(true);
  expect(has('"type":"feedback"', 'wrong shelf')).toBe(true);
  expect(has('"type":"attachment"', 'harbour-chart.bin')).toBe(true);
  expect(has('order.price', '"release":"shop@1.4.2"')).toBe(true);
  const reports = posts.filter((p) => p.path.includes('/crash/')).flatMap((p) => JSON.parse(Buffer.from(p.body, 'latin1').toString()).reports);
  expect(reports.map((r) => r.exceptions[0].value)).toEqual(expect.arrayContaining(['first error in the tunnel', 'second error in the tunnel', expect.stringMatching(/^cart \w+ is undefined$/)]));
  const vitals = posts.filter((p) => p.path.includes('/vitals/')).map((p) => JSON.parse(p.body));
  expect(vitals.find((v) => v.route === 'Orders')?.vitals[0].value).toBeGreaterThanOrEqual(1500);
}, 400_000);
