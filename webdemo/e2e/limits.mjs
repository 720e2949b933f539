// What the stock browser SDK does once the gateway has limited one category.
//
//   node limits.mjs http://KEY@127.0.0.1:8080/1
//
// Opens a page of another origin in Chromium, lets the SDK send errors until
// one is refused, then errors, a trace and a session again, and prints
// what went over the wire as JSON: [{"phase", "types", "status", "limits"}].
import {openBrowser, servePage} from './driver.mjs';

const dsn = process.argv[2];
if (!dsn) {
  console.error('usage: node limits.mjs DSN');
  process.exit(2);
}
const shop = await servePage('page.js');
const browser = await openBrowser();
try {
  const page = await browser.context.newPage();
  const seen = [];
  let phase = 'load';
  let open = 0;
  page.on('request', (request) => {
    if (request.method() !== 'POST') return;
    open++;
    // The first line is the envelope's header, every second one an item's.
    const lines = (request.postData() || '').split('\n');
    const types = lines.slice(1).filter((_, i) => i % 2 === 0).flatMap((line) => {
      try {
        return [JSON.parse(line).type];
      } catch {
        return [];
      }
    });
    const entry = {phase, types, status: 0, limits: ''};
    seen.push(entry);
    const ended = async () => {
      const response = await request.response().catch(() => null);
      entry.status = response ? response.status() : 0;
      entry.limits = (response && response.headers()['x-sentry-rate-limits']) || '';
      open--;
    };
    request.response().then(ended, ended);
  });
  // rest waits until nothing is on its way any more.
  const rest = async () => {
    await page.evaluate(() => window.shop.flush());
    for (let calm = 0; calm < 5; calm = open === 0 ? calm + 1 : 0) await page.waitForTimeout(50);
  };
  const run = async (name, work) => {
    phase = name;
    await page.evaluate(work);
    await rest();
  };
  await page.goto(`${shop.url}/?dsn=${encodeURIComponent(dsn)}`);
  await rest();
  await run('within', () => window.shop.fail('cart'));
  await run('refused', () => window.shop.fail('checkout'));
  await run('limited', () => {
    for (const name of ['menu', 'price', 'image', 'review', 'order']) window.shop.fail(name);
    window.shop.trace('pay');
    window.shop.session();
  });
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
  shop.close();
}
