// What the beacon client does in a real page.
//
//   node beacon.mjs http://KEY@127.0.0.1:8080/1 http://127.0.0.1:8081/metrics
//
// Opens a page of another origin in Chromium, lets it fail in three ways, measures it, walks to another route and
// leaves; the metrics tell when the last beacon is there, which no page lives to see. Prints the requests that the page
// saw as JSON: [{"phase", "path", "via", "status", "body"}].
import {openBrowser, servePage} from './driver.mjs';

const [dsn, metrics] = process.argv.slice(2);
if (!metrics) {
  console.error('usage: node beacon.mjs DSN METRICS');
  process.exit(2);
}
const shop = await servePage('beacon-page.jsx', '<!doctype html><title>shop</title><div id="root"></div><script src="/page.js"></script>');
const browser = await openBrowser();
try {
  const page = await browser.context.newPage();
  const seen = [];
  let phase = 'load';
  page.on('request', (request) => {
    if (request.method() !== 'POST') return;
    const entry = {phase, path: new URL(request.url()).pathname, via: request.resourceType(), status: 0, body: JSON.parse(request.postData() || 'null')};
    seen.push(entry);
    const ended = (response) => {
      entry.status = response ? response.status() : 0;
    };
    request.response().then(ended, () => ended(null));
  });
  const answered = async (n) => {
    for (let i = 0; i < 400 && seen.filter((s) => s.status).length < n; i++) await page.waitForTimeout(50);
  };
  await page.goto(`${shop.url}/product/42?dsn=${encodeURIComponent(dsn)}`);
  await page.waitForSelector('body[data-ready]');
  phase = 'errors';
  for (const button of ['throw', 'reject', 'break']) await page.click(`#${button}`);
  await page.waitForSelector('#fallback');
  await answered(1); // all three wait for a second, and leave together
  phase = 'walk';
  await page.click('#slow');
  await page.click('#cart');
  await page.waitForFunction(() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(true), 100))));
  phase = 'leave';
  await page.goto('about:blank');
  for (let i = 0; i < 400 && !/^breakwater_http_requests_total{.*endpoint="vitals".*} [1-9]/m.test(await (await fetch(metrics)).text()); i++) {
    await page.waitForTimeout(50);
  }
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
  shop.close();
}
