import {Ajv2020} from 'ajv/dist/2020';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {expect, test} from 'vitest';
import {begin, hide, measure, pass, sent, uncaught} from './harness';

// What the gateway publishes is what the client keeps to.
const schema = (name: string) =>
  new Ajv2020({strict: false, allErrors: true}).compile(JSON.parse(readFileSync(join(import.meta.dirname, `../../../schemas/${name}.schema.json`), 'utf8')));

test('every body keeps to the published schemas', async () => {
  const beacon = begin({softNavigations: true});
  beacon.user('u'.repeat(500));
  beacon.tag('t'.repeat(500), 'v'.repeat(500));
  beacon.breadcrumb('b'.repeat(5000), 'navigation');
  uncaught(Object.assign(new Error('m'.repeat(20000), {cause: 'text'}), {name: 'N'.repeat(1000)}));
  uncaught(undefined, 'only words');
  beacon.capture(Symbol('odd'), {level: 'warning', tags: {a: 'b'}, contexts: {cart: {items: 3}}});
  await pass(1000);
  measure('TTFB', 12.5);
  measure('INP', 64, {navigationType: 'soft-navigation', navigationId: 3, navigationURL: `${location.origin}/x`});
  hide();
  expect(sent.length).toBeGreaterThanOrEqual(3);
  for (const s of sent) {
    const validate = schema(s.url.includes('/crash/') ? 'crash' : 'beacon');
    expect([validate(s.body), validate.errors]).toEqual([true, null]);
  }
});
