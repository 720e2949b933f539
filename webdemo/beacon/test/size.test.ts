// @vitest-environment node
import {build, type BuildOptions} from 'esbuild';
import {gzipSync} from 'node:zlib';
import {expect, test} from 'vitest';
// @ts-expect-error: a script
import {builds, common} from '../build.mjs';

// What a page pays, gzipped, without web-vitals, which it has or loads from elsewhere.
test.each([
  ['index.js', 3000],
  ['beacon.iife.js', 3000],
  ['react.js', 1000],
  ['beacon.all.iife.js', 6500], // with web-vitals
])('%s has at most %i bytes', async (name, most) => {
  const {outputFiles} = await build({...common, ...builds[name], write: false} as BuildOptions & {write: false});
  const size = gzipSync(outputFiles[0]!.contents, {level: 9}).length;
  console.log(`${name}: ${size} bytes gzipped`);
  expect(size).toBeLessThanOrEqual(most);
});
