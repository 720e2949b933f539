// Presses buttons of the demonstration page as a person would.
//
//   node demo.mjs http://127.0.0.1:8081/demo/ [SCENARIO…]
//
// Without scenarios: all of them, in the page's order. Prints what became of each as JSON: {"results": {id: {"state",
// "steps", "facts", …}}, "violations": […]}; violations are what the page's own policy forbade, beside the one that
// a scenario provokes. SCREENSHOT names a folder for pictures of the page, light and dark, wide and narrow.
import {join} from 'node:path';
import {openBrowser} from './driver.mjs';

const [url, ...wanted] = process.argv.slice(2);
if (!url) {
  console.error('usage: node demo.mjs URL [SCENARIO…]');
  process.exit(2);
}
const browser = await openBrowser();
try {
  const page = await browser.context.newPage();
  await page.setViewportSize({width: 1440, height: 1000});
  const violations = [];
  page.on('console', (m) => {
    if (/Content Security Policy/i.test(m.text()) && !m.text().includes('tracker.example')) violations.push(m.text());
  });
  await page.goto(url);
  await page.waitForFunction(() => window.demo?.listening, undefined, {timeout: 30_000});
  for (const id of wanted.length ? wanted : await page.evaluate(() => window.demo.scenarios)) {
    await page.click(`[data-scenario="${id}"] form > button[type="submit"]`);
    if (id === 'slow-interaction') await page.frameLocator('iframe.shop-frame').locator('#pay').click();
    await page.waitForFunction((id) => ['passed', 'failed'].includes(window.demo.results[id]?.state), id, {timeout: 180_000});
  }
  const pictures = process.env.SCREENSHOT;
  if (pictures) {
    for (const [name, colorScheme, width] of [['light', 'light', 1440], ['dark', 'dark', 1440], ['narrow', 'light', 420]]) {
      await page.emulateMedia({colorScheme});
      await page.setViewportSize({width, height: 1000});
      await page.screenshot({path: join(pictures, `demo-${name}.png`), fullPage: true});
    }
  }
  console.log(JSON.stringify({results: await page.evaluate(() => window.demo.results), violations}));
} finally {
  await browser.close();
}
