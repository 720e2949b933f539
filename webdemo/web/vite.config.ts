import {defineConfig} from 'vitest/config';

export default defineConfig({
  base: '/demo/',
  resolve: {conditions: ['@breakwater/source', 'module', 'browser', 'development|production']},
  oxc: {jsx: {runtime: 'automatic'}},
  build: {
    target: 'es2022',
    sourcemap: true,
    // Nothing inline: the page's Content-Security-Policy forbids it.
    assetsInlineLimit: 0,
    rolldownOptions: {input: {index: 'index.html', shop: 'shop.html'}},
  },
  // For `npm run dev` beside a gateway on its usual addresses.
  server: {proxy: Object.fromEntries(['/demo/config.json', '/demo/scrub', '/api', '/metrics'].map((path) => [path, 'http://127.0.0.1:8081']))},
  test: {environment: 'happy-dom', include: ['test/**/*.test.{ts,tsx}'], testTimeout: 60_000, hookTimeout: 60_000}, // for a machine that has more to do
});
