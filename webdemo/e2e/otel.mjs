// What stock OpenTelemetry packages do in a real page.
//
//   node otel.mjs http://127.0.0.1:8080/api/1/integration/otlp KEY
//
// Opens a page of another origin in Chromium, lets it fail, trace and measure, hides it, and flushes its exporters.
// Prints the requests as JSON: [{"path", "status", "answer"}].
import {openBrowser, servePage} from './driver.mjs';

const [otlp, key] = process.argv.slice(2);
if (!key) {
  console.error('usage: node otel.mjs OTLP KEY');
  process.exit(2);
}
const shop = await servePage('otel-page.js', '<!doctype html><title>shop</title><h1>Harbour shop</h1><button id="pay">Pay</button><button id="trace">Trace</button><script src="/page.js"></script>');
const browser = await openBrowser();
try {
  const page = await browser.context.newPage();
  const seen = [];
  page.on('request', (request) => {
    if (request.method() !== 'POST') return;
    const entry = {path: new URL(request.url()).pathname, status: 0, answer: ''};
    seen.push(entry);
    const ended = async () => {
      const response = await request.response().catch(() => null);
      entry.answer = response ? await response.text().catch(() => '') : '';
      entry.status = response ? response.status() : -1;
    };
    request.response().then(ended, ended);
  });
  await page.goto(`${shop.url}/product/42?otlp=${encodeURIComponent(otlp)}&key=${key}`);
  await page.waitForSelector('body[data-ready]');
  // A click before the first paint would end LCP before it began.
  await page.evaluate(() => new Promise((done) => new PerformanceObserver(done).observe({type: 'largest-contentful-paint', buffered: true})));
  await page.click('#pay');
  await page.click('#trace');
  // INP is that of an interaction which the page has been told of, a frame or more after the click.
  await page.evaluate(() => new Promise((done) => new PerformanceObserver(done).observe({type: 'first-input', buffered: true})));
  await page.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true});
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await page.evaluate(() => window.shop.flush());
  for (let i = 0; i < 600 && seen.some((s) => s.status === 0); i++) await page.waitForTimeout(50);
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
  shop.close();
}
