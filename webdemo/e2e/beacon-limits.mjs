// What the beacon client does when the gateway limits it.
//
//   node beacon-limits.mjs http://KEY@127.0.0.1:8080/1
//
// Errors, one after the other, until one is refused; then waits until all were taken, at most a minute. Prints the
// requests as JSON: [{"at", "ids", "status"}], at in milliseconds, by the browser's clock.
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
    const entry = {at: 0, ids: JSON.parse(request.postData()).reports.map((r) => r.id), status: 0};
    seen.push(entry);
    const ended = (r) => {
      entry.at = request.timing().startTime;
      entry.status = r ? r.status() : -1;
    };
    request.response().then(ended, () => ended(null));
  });
  const until = async (done) => {
    for (let i = 0; i < 1200 && !done(); i++) await page.waitForTimeout(50);
  };
  const taken = () => seen.filter((s) => s.status === 200).length;
  const refused = () => seen.some((s) => s.status === 429);
  await page.goto(`${shop.url}/product/42?dsn=${encodeURIComponent(dsn)}`);
  await page.waitForSelector('body[data-ready]');
  let sent = 0;
  while (sent < 10 && !refused()) {
    const before = taken();
    await page.evaluate((n) => window.beacon.capture(new Error(`number ${n}`)), ++sent);
    await until(() => refused() || taken() > before);
  }
  await until(() => taken() === sent);
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
  shop.close();
}
