import {defineConfig} from 'vitest/config';

export default defineConfig({
  resolve: {conditions: ['@breakwater/source']},
  ssr: {resolve: {conditions: ['@breakwater/source']}},
  test: {environment: 'happy-dom', environmentOptions: {happyDOM: {url: 'https://shop.example/'}}, setupFiles: ['test/setup.ts'], include: ['test/**/*.test.{ts,tsx}'], unstubGlobals: true, restoreMocks: true, testTimeout: 60_000, hookTimeout: 60_000}, // for a machine that has more to do
});
