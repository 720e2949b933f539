// What Chromium reports by itself about pages that violate their policies.
//
//   node reports.mjs https://127.0.0.1:8443/report-uri https://127.0.0.1:8443/report-to …
//
// Opens each page and stays until a line on standard input says that the
// reports have arrived. Prints nothing.
import {once} from 'node:events';
import {openBrowser} from './driver.mjs';

const urls = process.argv.slice(2);
if (urls.length === 0) {
  console.error('usage: node reports.mjs URL…');
  process.exit(2);
}
const browser = await openBrowser('--ignore-certificate-errors', '--short-reporting-delay', '--enable-features=Reporting');
try {
  for (const url of urls) {
    const page = await browser.context.newPage();
    await page.goto(url);
  }
  await once(process.stdin, 'data');
} finally {
  await browser.close();
}
