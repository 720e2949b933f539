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
  const reports = () => seen.filter((s) => s.status).flatMap((s) => s.body.reports || []).length;
  await page.goto(`${shop.url}/product/42?dsn=${encodeURIComponent(dsn)}`);
  await page.waitForSelector('body[data-ready]');
  // A click before the first paint would end LCP before it began.
  await page.evaluate(() => new Promise((done) => new PerformanceObserver(done).observe({type: 'largest-contentful-paint', buffered: true})));
  phase = 'errors';
  for (const button of ['throw', 'reject', 'break']) await page.click(`#${button}`);
  await page.waitForSelector('#fallback');
  for (let i = 0; i < 1200 && reports() < 3; i++) await page.waitForTimeout(50); // they wait for a second, to leave together
  phase = 'walk';
  await page.click('#slow');
  await page.evaluate(() => new Promise((done) => {
    const slow = (list) => list.getEntries().some((e) => e.name === 'click' && e.target?.id === 'slow') && done();
    new PerformanceObserver(slow).observe({type: 'event', durationThreshold: 104, buffered: true});
  }));
  await page.click('#cart');
  await page.waitForFunction(() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(true), 100))));
  phase = 'leave';
  await page.goto('about:blank');
  const arrived = async () => {
    const text = await (await fetch(metrics)).text();
    return ['lcp_seconds', 'fcp_seconds', 'ttfb_seconds', 'inp_seconds', 'cls'].every((v) => new RegExp(`^web_vitals_${v}_count{.*} [1-9]`, 'm').test(text));
  };
  for (let i = 0; i < 1200 && !(await arrived()); i++) await page.waitForTimeout(50);
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
  shop.close();
}
