// What the stock Faro SDK for React does in a real page.
//
//   node faro.mjs http://127.0.0.1:8080/api/1/faro/ KEY
//
// Opens a page of another origin in Chromium and lets it fail in three ways; then waits until the SDK has sent what it
// had, at most half a minute, and leaves. Prints the requests as JSON: [{"path", "status", "key", "signals"}].
import {openBrowser, servePage} from './driver.mjs';

const [collector, key] = process.argv.slice(2);
if (!key) {
  console.error('usage: node faro.mjs COLLECTOR KEY');
  process.exit(2);
}
const shop = await servePage('faro-page.jsx', '<!doctype html><title>shop</title><div id="root"></div><script src="/page.js"></script>');
const browser = await openBrowser();
try {
  const page = await browser.context.newPage();
  const seen = [];
  page.on('request', (request) => {
    if (request.method() !== 'POST') return;
    const body = JSON.parse(request.postData() || '{}');
    const entry = {
      path: new URL(request.url()).pathname, status: 0, key: request.headers()['idempotency-key'] || '',
      signals: {exceptions: (body.exceptions || []).map((e) => `${e.type}: ${e.value}`), vitals: (body.measurements || []).filter((m) => m.type === 'web-vitals').map((m) => Object.keys(m.values)[0])},
    };
    seen.push(entry);
    request.response().then((r) => { entry.status = r ? r.status() : -1; }, () => { entry.status = -1; });
  });
  const sent = (kind) => seen.filter((s) => s.status === 202).flatMap((s) => s.signals[kind]);
  const until = async (done) => {
    for (let i = 0; i < 600 && !done(); i++) await page.waitForTimeout(50);
  };
  await page.goto(`${shop.url}/product/42?collector=${encodeURIComponent(collector)}&key=${key}`);
  await page.waitForSelector('body[data-ready]');
  await page.waitForSelector('#pay');
  await until(() => sent('vitals').includes('fcp'));
  await page.click('#pay');
  await page.click('#reject');
  await page.click('#open');
  await page.waitForSelector('#broken');
  await until(() => ['cart is undefined', 'no berth left', 'toFixed'].every((text) => sent('exceptions').some((e) => e.includes(text))));
  // LCP is final at the first click, CLS and INP when the page is hidden.
  await page.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true});
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await until(() => ['lcp', 'inp', 'cls', 'ttfb', 'fcp'].every((v) => sent('vitals').includes(v)));
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
  shop.close();
}
