import {build, type BuildOptions} from 'esbuild';
import {afterEach, expect, test, vi} from 'vitest';
// @ts-expect-error: a script
import {builds, common} from '../build.mjs';
import {begin, DSN, pass, reports} from './harness';

type Global = {breakwater?: typeof import('../src/index'); webVitals?: object};

afterEach(() => {
  delete (globalThis as Global).webVitals;
});

async function script(name: string): Promise<string> {
  const {outputFiles} = await build({...common, ...builds[name], write: false} as BuildOptions & {write: false});
  return outputFiles[0]!.text;
}

test.each([false, true])('the script works with web-vitals before it, and without: %s', async (before) => {
  const on = vi.fn();
  if (before) (globalThis as Global).webVitals = {onCLS: on, onFCP: on, onINP: on, onLCP: on, onTTFB: on};
  const code = await script('beacon.iife.js');
  begin().stop(); // for the browser that it makes
  new Function(code)();
  const beacon = (globalThis as Global).breakwater!.start({dsn: DSN});
  expect(on).toHaveBeenCalledTimes(before ? 5 : 0);
  beacon.capture(new Error('from a script'));
  await pass(1000);
  expect(reports().map((r) => r.exceptions[0].value)).toEqual(['from a script']);
  beacon.stop();
});
