// Firefox as Debian ships it, by WebDriver BiDi: Playwright drives only a build of its own.
import {existsSync} from 'node:fs';
import puppeteer from 'puppeteer-core';
import {expect, test} from '../harness/fixtures.ts';

const firefox = process.env['FIREFOX'] ?? '/usr/bin/firefox-esr';

test('Firefox: an error of the demo page arrives', async ({stack}) => {
  test.skip(!existsSync(firefox), `no Firefox at ${firefox}: \`make deps\` installs it on Debian`);
  const browser = await puppeteer.launch({browser: 'firefox', executablePath: firefox, headless: true, timeout: 120_000});
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(120_000);
    await page.goto(`${stack.gateway.private}/demo/`);
    await page.waitForFunction('window.demo && window.demo.listening');
    await page.click('[data-scenario="unhandled-error"] form > button[type="submit"]');
    await page.waitForFunction(`['passed', 'failed'].includes(window.demo.results['unhandled-error']?.state)`);
    const result = (await page.evaluate(`window.demo.results['unhandled-error']`)) as {state: string; facts: Record<string, string>; steps: unknown};
    expect(result.state, JSON.stringify(result.steps)).toBe('passed');
    const {item} = await stack.recorder.event(result.facts['event_id'] ?? '');
    expect(item.json.request.headers['User-Agent']).toContain('Firefox/');
  } finally {
    await browser.close();
  }
});
