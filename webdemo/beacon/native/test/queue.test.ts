import {Queue, utf8, type Entry} from '../src/queue';
import {Memory} from './harness';

const bounds = {maxEntries: 4, maxBytes: 1000, maxAge: 1000};
const id = (n: number) => n.toString(16).padStart(32, '0');
const entry = (n: number, more: Partial<Entry> = {}) => ({id: id(n), at: n, fatal: false, json: `{"n":${n}}`, ...more});
const names = async (q: Queue) => (await q.list()).map((e) => parseInt(e.id, 16));

test('what is stored is there after a restart, oldest first', async () => {
  const storage = new Memory();
  const q = new Queue(storage, bounds, () => 10);
  await q.add(entry(2, {json: '{"text":"two\\nlines é"}', fatal: true}));
  await q.add(entry(1));
  const again = await new Queue(storage, bounds, () => 10).list();
  expect(again).toEqual([
    {id: id(1), at: 1, fatal: false, json: '{"n":1}', bytes: 7},
    {id: id(2), at: 2, fatal: true, json: '{"text":"two\\nlines é"}', bytes: 24},
  ]);
});

test('bounds: the oldest that is no crash goes first, a crash never for what is none', async () => {
  const q = new Queue(new Memory(), bounds, () => 10);
  await q.add(entry(1, {fatal: true}));
  for (const n of [2, 3, 4, 5]) await q.add(entry(n));
  expect(await names(q)).toEqual([1, 3, 4, 5]);
  for (const n of [6, 7, 8]) await q.add(entry(n, {fatal: true}));
  expect(await names(q)).toEqual([1, 6, 7, 8]);
  await q.add(entry(9));
  expect(await names(q)).toEqual([1, 6, 7, 8]);
  await q.add(entry(9, {fatal: true}));
  expect(await names(q)).toEqual([6, 7, 8, 9]);
});

test('bytes are counted as they are stored', async () => {
  const storage = new Memory();
  const q = new Queue(storage, bounds, () => 10);
  for (const n of [1, 2, 3]) await q.add(entry(n, {json: 'é'.repeat(200)}));
  expect(await names(q)).toEqual([2, 3]);
  await q.add(entry(4, {json: 'x'.repeat(1001)}));
  expect(await names(q)).toEqual([2, 3]);
  expect(storage.reports()).toHaveLength(2);
  for (const text of ['', 'a', 'é', '€', '😀', 'a😀é€', '\ud800', '\ud800a', '\udc00']) {
    expect(utf8(text)).toBe(Buffer.byteLength(text));
  }
});

test('age: what is too old is neither sent nor kept', async () => {
  let now = 500;
  const storage = new Memory();
  const q = new Queue(storage, bounds, () => now);
  await q.add(entry(1));
  await q.add(entry(400));
  now = 1300;
  expect(await names(q)).toEqual([400]);
  now = 5000;
  expect(await names(new Queue(storage, bounds, () => now))).toEqual([]);
  expect(storage.reports()).toEqual([]);
});

test('values that are damaged or foreign are taken away and cost nothing else', async () => {
  const storage = new Memory();
  const q = new Queue(storage, bounds, () => 10);
  await q.add(entry(1));
  const whole = storage.map.get('breakwater.report.0')!;
  storage.map.set('breakwater.report.1', whole.slice(0, -2)); // cut off
  storage.map.set('breakwater.report.2', 'something else');
  storage.map.set('breakwater.report.3', '');
  storage.map.set('other', 'of the app');
  expect(await names(new Queue(storage, bounds, () => 10))).toEqual([1]);
  expect([...storage.map.keys()].sort()).toEqual(['breakwater.report.0', 'other']);
});

test('a storage that fails keeps reports for this run', async () => {
  const storage = new Memory();
  storage.fails = true;
  const q = new Queue(storage, bounds, () => 10);
  await q.add(entry(1));
  expect(await names(q)).toEqual([1]);
  await q.remove(new Set([id(1)]));
  expect(await names(q)).toEqual([]);
  const without = new Queue(undefined, bounds, () => 10);
  await without.add(entry(1));
  expect(await names(without)).toEqual([1]);
});

test('operations that overlap do not lose one another', async () => {
  const storage = new Memory();
  const q = new Queue(storage, {...bounds, maxEntries: 50}, () => 10);
  await Promise.all(Array.from({length: 20}, (_, i) => q.add(entry(i + 1))));
  await Promise.all([q.remove(new Set([id(3)])), q.add(entry(30)), q.remove(new Set([id(4)]))]);
  expect(await names(q)).toEqual([1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 30]);
  expect(storage.reports()).toHaveLength(19);
  await q.clear();
  expect(storage.reports()).toHaveLength(0);
});
