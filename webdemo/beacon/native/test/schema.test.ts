import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {Ajv2020} from 'ajv/dist/2020';
import {start} from '../src';
import {DSN, Gateway, pass} from './harness';

// What the gateway publishes is what the client keeps to.
const schema = (name: string) =>
  new Ajv2020({strict: false, allErrors: true}).compile(JSON.parse(readFileSync(join(__dirname, `../../../../schemas/${name}.schema.json`), 'utf8')));

test('every body keeps to the published schemas', async () => {
  jest.useFakeTimers({now: new Date('2026-11-26T10:00:00Z')});
  const gateway = new Gateway();
  const beacon = start({dsn: DSN, release: 'r'.repeat(200), dist: '45', processStart: Date.now() - 700, device: {battery: 0.4, charging: true}});
  beacon.user('u'.repeat(500));
  for (let i = 0; i < 100; i++) beacon.tag(`${i}`.repeat(300), 'v'.repeat(i * 20));
  beacon.breadcrumb('b'.repeat(5000), 'navigation');
  beacon.route('r'.repeat(5000));
  beacon.appStarted();
  beacon.vital('frames_frozen', 2);
  beacon.capture(Object.assign(new Error('m'.repeat(20000), {cause: 'text'}), {name: 'N'.repeat(1000)}));
  beacon.capture(undefined, {level: 'warning', tags: {a: 'b'}, contexts: {cart: {items: 3}}});
  await pass(2000);
  beacon.stop();
  expect(gateway.requests.map((r) => r.url.split('/').at(-2)).sort()).toEqual(['crash', 'vitals']);
  for (const r of gateway.requests) {
    const validate = schema(r.url.includes('/crash/') ? 'crash' : 'beacon');
    expect([validate(r.body), validate.errors]).toEqual([true, null]);
  }
  jest.useRealTimers();
});
