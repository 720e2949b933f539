import {defineConfig} from '@playwright/test';

// One worker: the specs share one stack, and two cores. A spec that fails is a
// fault, not bad luck, so none is tried again.
export default defineConfig({
  testDir: 'specs',
  workers: 1,
  retries: 0,
  timeout: 300_000, // a machine that does other things, too, may stand still for a while
  expect: {timeout: 60_000},
  reporter: process.env['CI'] ? [['list']] : [['list']],
  outputDir: 'test-results',
  use: {
    launchOptions: {
      executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'],
    },
    screenshot: 'only-on-failure',
  },
});
