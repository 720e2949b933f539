// Builds dist/ for bundlers that do not read TypeScript; Metro takes src/.
import {build} from 'esbuild';
import {rm} from 'node:fs/promises';

const here = (path) => new URL(path, import.meta.url).pathname;

await rm(here('dist'), {recursive: true, force: true});
await build({
  entryPoints: ['index', 'crashlytics'].map((name) => here(`src/${name}.ts`)),
  outdir: here('dist'), bundle: true, splitting: true, format: 'esm', target: 'es2020', logLevel: 'error', sourcemap: true,
  external: ['react', 'react-native', '@breakwater/*'],
});
