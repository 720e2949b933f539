// What the beacon client does when the gateway limits it.
//
//   node beacon-limits.mjs http://KEY@127.0.0.1:8080/1
//
// Two errors, one after the other; then waits until both were taken, at most half a minute. Prints the requests as
// JSON: [{"at", "ids", "status"}], at in milliseconds.
import {openBrowser, servePage} from './driver.mjs';

const dsn = process.argv[2];
if (!dsn) {
  console.error('usage: node beacon-limits.mjs DSN');
  process.exit(2);
}
const shop = await servePage('beacon-page.jsx', '<!doctype html><title>shop</title><div id="root"></div><script src="/page.js"></script>');
const browser = await openBrowser();
try {
  const page = await browser.context.newPage();
  const seen = [];
  page.on('request', (request) => {
    if (request.method() !== 'POST' || !request.url().includes('/crash/')) return;
    const entry = {at: Date.now(), ids: JSON.parse(request.postData()).reports.map((r) => r.id), status: 0};
    seen.push(entry);
    request.response().then((r) => { entry.status = r ? r.status() : -1; }, () => { entry.status = -1; });
  });
  const taken = async (n) => {
    for (let i = 0; i < 600 && seen.filter((s) => s.status === 200).length < n; i++) await page.waitForTimeout(50);
  };
  await page.goto(`${shop.url}/product/42?dsn=${encodeURIComponent(dsn)}`);
  await page.waitForSelector('body[data-ready]');
  await page.evaluate(() => window.beacon.capture(new Error('first')));
  await taken(1);
  await page.evaluate(() => window.beacon.capture(new Error('second')));
  await taken(2);
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
  shop.close();
}
