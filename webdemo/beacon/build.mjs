// Builds dist/: ES modules, and two scripts for pages without a bundler.
import {build} from 'esbuild';
import {rm} from 'node:fs/promises';

const here = (path) => new URL(path, import.meta.url).pathname;

/** The builds, by file name; the size test makes them as well, without writing. */
export const builds = {
  'index.js': {entryPoints: [here('src/index.ts')], format: 'esm', external: ['web-vitals']},
  'react.js': {entryPoints: [here('src/react.ts')], format: 'esm', external: ['react', '@breakwater/beacon']},
  // Parts that the client for React Native shares.
  'report.js': {entryPoints: [here('src/report.ts')], format: 'esm'},
  'boundary.js': {entryPoints: [here('src/boundary.ts')], format: 'esm', external: ['react']},
  // Needs web-vitals' own script before it, or reports errors only.
  'beacon.iife.js': {entryPoints: [here('src/global.ts')], format: 'iife', plugins: [global()]},
  // With web-vitals inside.
  'beacon.all.iife.js': {entryPoints: [here('src/global.ts')], format: 'iife'},
};

/** global takes web-vitals from where its script puts it. */
function global() {
  return {
    name: 'web-vitals as a global',
    setup(b) {
      b.onResolve({filter: /^web-vitals$/}, () => ({path: 'web-vitals', namespace: 'global'}));
      b.onLoad({filter: /.*/, namespace: 'global'}, () => ({
        contents: 'export const {onCLS, onFCP, onINP, onLCP, onTTFB} = globalThis.webVitals || {};',
      }));
    },
  };
}

/** What every build has in common. ES2020 is what browsers with all Web Vitals understand. */
export const common = {bundle: true, minify: true, target: 'es2020', legalComments: 'none', logLevel: 'error'};

if (process.argv[1] === here('build.mjs')) {
  await rm(here('dist'), {recursive: true, force: true});
  for (const [name, options] of Object.entries(builds)) {
    await build({...common, ...options, outfile: here(`dist/${name}`), sourcemap: true});
  }
}
