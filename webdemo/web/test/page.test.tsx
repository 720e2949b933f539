import {act} from 'react';
import {createRoot} from 'react-dom/client';
import {expect, test, vi} from 'vitest';
import {parseMetrics, sum, type Line} from '../src/gateway';
import {Log, growth, run, type Scenario, type Shared} from '../src/runner';
import {Scrubbed, differences} from '../src/Scrubbed';
import {scenarios} from '../src/scenarios';
import {readEnvelope, type Sent} from '../src/telemetry';

(globalThis as {IS_REACT_ACT_ENVIRONMENT?: boolean}).IS_REACT_ACT_ENVIRONMENT = true;

test('every scenario has a name of its own, a button and a sentence', () => {
  expect(new Set(scenarios.map((s) => s.id)).size).toBe(scenarios.length);
  for (const s of scenarios) {
    expect(s.id).toMatch(/^[a-z-]+$/);
    expect(s.button.length).toBeGreaterThan(3);
    expect(s.says).toMatch(/\.$/);
  }
});

test('metrics: labels with quotes, exemplars, comments', () => {
  const samples = parseMetrics(
    '# HELP a {x="1"} 2\na{project="shop",route="/p/:id \\"x\\\\y"} 3\na{project="other"} 4 # {trace_id="ab"} 1 2\nb 1e3\nbad line here\n',
  );
  expect(samples).toEqual([
    {name: 'a', labels: {project: 'shop', route: '/p/:id "x\\y'}, value: 3},
    {name: 'a', labels: {project: 'other'}, value: 4},
    {name: 'b', labels: {}, value: 1000},
  ]);
  expect(sum(samples, 'a', {})).toBe(7);
  expect(sum(samples, 'a', {project: 'shop'})).toBe(3);
  expect(growth(samples, 'a', {})(parseMetrics('a 10'))).toBe(3);
});

test('envelopes: with and without lengths, binary payloads', () => {
  const binary = new Uint8Array([123, 10, 0, 10, 255]);
  const head = new TextEncoder().encode('{"event_id":"ab"}\n{"type":"event"}\n{"message":"x"}\n{"type":"attachment","length":5}\n');
  const tail = new TextEncoder().encode('\n{"type":"client_report"}\n{"a":1}');
  const all = new Uint8Array([...head, ...binary, ...tail]);
  expect(readEnvelope(all)).toEqual({
    eventID: 'ab',
    items: [
      {type: 'event', payload: {message: 'x'}, size: 15},
      {type: 'attachment', payload: undefined, size: 5},
      {type: 'client_report', payload: {a: 1}, size: 7},
    ],
  });
  expect(readEnvelope('')).toEqual({eventID: '', items: []});
  expect(readEnvelope('nonsense\n{"type"')).toEqual({eventID: '', items: []});
});

test('what was scrubbed, place by place', () => {
  const before = {user: {email: 'a@b.c', id: 7}, list: ['4111', 'x']};
  const after = {user: {id: 7}, list: ['[Filtered]', 'x'], _meta: {list: {}}};
  expect(differences(before, after)).toEqual([{path: 'user.email', was: '"a@b.c"', is: 'gone'}, {path: 'list.0', was: '"4111"', is: '"[Filtered]"'}]);
  const root = createRoot(document.body.appendChild(document.createElement('div')));
  act(() => root.render(<Scrubbed before={before} after={after} hits={[{path: 'list.0', rule: 'creditcard'}]} />));
  expect(document.querySelectorAll('tbody tr')).toHaveLength(2);
  expect(document.body.textContent).toContain('creditcard');
  act(() => root.unmount());
});

const shared = () => ({
  beacon: {} as Shared['beacon'], config: {version: '', public: '', projects: []}, project: {id: '1', name: 'shop', key: 'k', dsn: 'd'}, release: 'shop@1.4.1',
  door: new Log<Line & {seenAt: number}>(), requests: new Log<Sent>(),
});
const story = (work: Scenario['run']): Scenario => ({id: 'x', group: '', title: '', button: '', says: '', run: work});

test('a step that fails ends a scenario, with its reason, and nothing is thrown', async () => {
  const seen: string[] = [];
  const result = await run(
    story(async (ctx) => {
      await ctx.step('one', () => 1, (n) => `is ${n}`);
      ctx.fact('n', 2);
      await ctx.step('two', () => Promise.reject(new Error('no word')));
      await ctx.step('three', () => 3);
    }),
    shared(), {}, (r) => seen.push(r.steps.map((s) => s.state).join()), () => {},
  );
  expect(result).toMatchObject({state: 'failed', facts: {n: 2}, steps: [{what: 'one', state: 'done', detail: 'is 1'}, {what: 'two', state: 'failed', detail: 'no word'}]});
  expect(seen).toContain('done,waiting');
  expect((await run(story(() => Promise.reject('text')), shared(), {}, () => {}, () => {})).steps).toMatchObject([{detail: 'text'}]);
});

test('lines and requests from before the button do not count; those between do', async () => {
  vi.useFakeTimers();
  const s = shared();
  const line = (event_id: string, seenAt: number) => ({event_id, seenAt, at: '', project: 'shop', category: 'error', quantity: 1, outcome: 'accepted'}) as Line & {seenAt: number};
  s.door.add(line('a', Date.now() - 1));
  const ended = run(story(async (ctx) => {
    s.door.add(line('b', Date.now()));
    ctx.fact('first', (await ctx.line((l) => l.category === 'error')).event_id);
    await ctx.step('nobody comes', () => ctx.line((l) => l.event_id === 'a', 1000));
  }), s, {}, () => {}, () => {});
  await vi.advanceTimersByTimeAsync(1000);
  expect(await ended).toMatchObject({state: 'failed', facts: {first: 'b'}, steps: [{detail: 'word from the gateway did not come within 1 s'}]});
  vi.useRealTimers();
});
