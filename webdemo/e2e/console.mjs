// Looks at every page of the console, presses every button, and tells what it
// found.
//
//   node console.mjs http://127.0.0.1:8081 TOKEN FOLDER [all]
//
// Prints {"pages", "axe", "actions", "keyboard", "plain", "live", "faults"} as
// JSON and leaves a picture of each page in FOLDER: wide and light, phone and
// dark; with `all` wide and dark, phone and light, too. CHROMIUM names the browser, /usr/bin/chromium when it does not.
import {readFile} from 'node:fs/promises';
import {createRequire} from 'node:module';
import {join} from 'node:path';
import {chromium} from 'playwright-core';

const [base, token, folder, all] = process.argv.slice(2);
if (!folder) {
  console.error('usage: node console.mjs ADDRESS TOKEN FOLDER');
  process.exit(2);
}
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'],
});
// open is a context whose waits bear a machine with other work.
const open = async (options) => {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(120_000);
  return context;
};
const report = {pages: [], axe: [], actions: {}, keyboard: {}, plain: [], live: {}, faults: []};
const fault = (where, what) => report.faults.push(`${where}: ${what}`);

// watch keeps what a page complains of: errors, refusals of the content
// security policy, dialogs that a hostile text opened.
const watch = (page) => {
  page.on('pageerror', (error) => fault(page.url(), error.message));
  page.on('dialog', (dialog) => {
    fault(page.url(), `dialog ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('console', (message) => {
    // Signing in answers 401 with the form: that is meant.
    if (message.type() === 'error' && !message.text().includes('401')) fault(page.url(), message.text());
  });
};

const signIn = async (page) => {
  await page.goto(base + '/destinations');
  await page.getByLabel('Admin token').fill(token);
  await page.getByRole('button', {name: 'Sign in'}).click();
  await page.waitForSelector('main h1:text-is("Destinations")');
};

const views = [
  {name: 'wide', viewport: {width: 1280, height: 800}},
  {name: 'phone', viewport: {width: 390, height: 780}, isMobile: true, hasTouch: true},
];

const looks = async () => {
  for (const view of views) {
    for (const colorScheme of ['light', 'dark']) {
      const mixed = (view.name === 'wide') !== (colorScheme === 'light');
      if (mixed && !all) continue;
      const context = await open({viewport: view.viewport, isMobile: view.isMobile, hasTouch: view.hasTouch, colorScheme, reducedMotion: 'reduce'});
      const page = await context.newPage();
      watch(page);
      await page.goto(base + '/');
      await look(page, 'sign-in', view.name, colorScheme);
      await signIn(page);
      for (const [name, path] of await places(page)) {
        const answer = await page.goto(base + path);
        if (!answer.ok()) fault(path, `answered ${answer.status()}`);
        await look(page, name, view.name, colorScheme);
      }
      await context.close();
    }
  }
};

// places are the pages of the navigation and those behind them.
const places = async (page) => {
  await page.goto(base + '/');
  const list = await page.locator('nav a').evaluateAll((links) => links.map((a) => [a.textContent.toLowerCase().replaceAll(' ', '-'), a.getAttribute('href')]));
  const behind = async (name, path, link) => {
    await page.goto(base + path);
    const href = await page.locator(link).first().getAttribute('href', {timeout: 30_000}).catch(() => null);
    if (href) list.push([name, href]);
    else fault(path, `no link ${link}`);
  };
  await behind('error', '/errors', 'a[href^="/errors/"]');
  await behind('confirm-pause', '/destinations', 'a[href^="/act/pause"]');
  await behind('confirm-drop', '/dead-letters', 'a[href^="/act/drop"]');
  await behind('runbook', '/help', 'a[href^="/help/alerts/"]');
  await page.goto(base + '/dead-letters');
  const hostile = await page.locator('a[href^="/records/"]', {hasText: 'script'}).first().getAttribute('href', {timeout: 30_000}).catch(() => null);
  if (hostile) list.push(['record-hostile', hostile]);
  else fault('/dead-letters', 'the hostile record is not listed');
  return list;
};

const look = async (page, name, view, scheme) => {
  await page.waitForLoadState('load');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) fault(`${name} ${view} ${scheme}`, `is ${wide} px too wide`);
  const bytes = (await page.content()).length;
  if (bytes > 600_000) fault(name, `has ${bytes} bytes`);
  if (await page.evaluate(() => Boolean(window.pwned))) fault(name, 'a hostile text ran');
  await page.screenshot({path: join(folder, `${name}-${view}-${scheme}.png`), fullPage: true});
  if (name === 'overview' && view === 'wide' && scheme === 'light') {
    await page.screenshot({path: join(folder, 'overview.png'), clip: {x: 0, y: 0, width: 1280, height: 720}}); // the README's
  }
  report.pages.push(`${name} ${view} ${scheme}`);
  await page.evaluate(axe);
  const result = await page.evaluate(() => window.axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}));
  for (const v of result.violations) {
    report.axe.push({page: name, view, scheme, id: v.id, impact: v.impact, nodes: v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160))});
  }
};

const done = async (page) => (await page.locator('p.note').textContent()).replace(/\s+/g, ' ').trim();

// act presses what a person would press, each with its confirmation.
const act = async () => {
  const context = await open({viewport: views[0].viewport});
  const page = await context.newPage();
  watch(page);
  await signIn(page);
  const card = page.locator('section.card', {has: page.getByRole('heading', {name: /^shop\/sentry/})});
  await card.getByRole('link', {name: /^Pause/}).click();
  await page.getByRole('button', {name: 'Pause', exact: true}).click();
  report.actions.pause = [await done(page), await card.locator('.tag').first().textContent()];
  await card.getByRole('link', {name: /^Resume/}).click();
  await page.getByRole('button', {name: 'Resume', exact: true}).click();
  report.actions.resume = [await done(page), await card.locator('.tag').first().textContent()];

  await page.goto(base + '/dead-letters');
  const rows = page.locator('tbody tr');
  report.actions.before = await rows.count();
  await rows.first().locator('a[href^="/records/"]').click();
  await page.getByRole('link', {name: 'Retry at sentry'}).click();
  await page.getByRole('button', {name: 'Retry', exact: true}).click();
  report.actions.retryOne = await done(page);

  await page.goto(base + '/dead-letters');
  await rows.nth(0).getByRole('checkbox').check();
  await rows.nth(1).getByRole('checkbox').check();
  await page.getByRole('button', {name: 'Drop selected'}).click();
  await page.getByRole('link', {name: 'Cancel'}).click();
  await rows.nth(0).getByRole('checkbox').check();
  await rows.nth(1).getByRole('checkbox').check();
  await page.getByRole('button', {name: 'Drop selected'}).click();
  await page.getByRole('button', {name: 'Drop', exact: true}).click();
  report.actions.dropSelected = await done(page);

  await page.goto(base + '/dead-letters');
  await page.getByLabel('Project').selectOption('shop');
  await page.getByLabel('Destination').fill('sentry');
  await page.getByRole('button', {name: 'Filter'}).click();
  await page.getByRole('link', {name: 'Drop all of these'}).click();
  await page.getByRole('button', {name: 'Drop', exact: true}).click();
  report.actions.dropAll = await done(page);
  report.actions.after = await rows.count();

  await page.goto(base + '/audit');
  report.actions.audit = await page.locator('tbody tr td:nth-child(3) strong').allTextContents();
  await page.getByRole('button', {name: 'Sign out'}).click();
  await page.waitForURL(base + '/signin**');
  const after = await page.goto(base + '/audit');
  report.actions.signedOut = after.status();
  await context.close();
};

// walk uses the keyboard alone: sign in, skip to the content, reach a button
// and confirm it; whatever has the focus must be seen to have it.
const walk = async () => {
  const context = await open({viewport: views[0].viewport});
  const page = await context.newPage();
  watch(page);
  await page.goto(base + '/destinations');
  await page.waitForFunction(() => document.activeElement.tagName === 'INPUT'); // the field gets the focus by itself
  await page.keyboard.type(token);
  await page.keyboard.press('Enter');
  await page.waitForSelector('main h1:text-is("Destinations")');
  await page.keyboard.press('Tab');
  report.keyboard.first = await page.evaluate(() => document.activeElement.textContent);
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  const focus = () =>
    page.evaluate(() => {
      const e = document.activeElement;
      const s = getComputedStyle(e);
      const r = e.getBoundingClientRect();
      return {tag: e.tagName, text: e.textContent.replace(/\s+/g, ' ').trim(), seen: s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2 && r.width > 0};
    });
  report.keyboard.skipped = (await focus()).text; // in the content, not in the navigation
  let unseen = 0;
  let found = false;
  for (let i = 0; i < 80 && !found; i++) {
    const now = await focus();
    if (!now.seen && now.tag !== 'BODY') {
      unseen++;
      fault('keyboard', `no ring around ${now.tag} ${now.text}`);
    }
    found = now.text === 'Pause shop/sentry';
    if (!found) await page.keyboard.press('Tab');
  }
  report.keyboard.found = found;
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/act\/pause/);
  for (let i = 0; i < 40 && (await focus()).text !== 'Pause'; i++) await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/destinations\?done=/);
  report.keyboard.done = await done(page);
  await page.goto(base + '/act/resume?project=shop&destination=sentry&back=/destinations');
  await page.getByRole('button', {name: 'Resume', exact: true}).press('Enter');
  await page.waitForURL(/\/destinations\?done=/);
  await context.close();
};

// plain reads without JavaScript.
const plain = async () => {
  const context = await open({viewport: views[0].viewport, javaScriptEnabled: false});
  const page = await context.newPage();
  await signIn(page);
  for (const path of ['/', '/destinations', '/spool', '/dead-letters', '/errors', '/releases', '/vitals', '/ledger', '/limits', '/config', '/audit', '/help']) {
    await page.goto(base + path);
    report.plain.push([path, (await page.locator('main').innerText()).length]);
  }
  await context.close();
};

// watchLive sees a number change without a reload, keeps the focus meanwhile,
// and stops when told to.
const watchLive = async () => {
  const context = await open({viewport: views[0].viewport});
  const page = await context.newPage();
  watch(page);
  await signIn(page);
  await page.goto(base + '/destinations');
  const button = page.getByRole('link', {name: 'Pause shop/sentry'});
  await button.focus();
  const frames = () => page.evaluate(() => Number(document.getElementById('live').dataset.frames || 0));
  await page.waitForFunction(() => Number(document.getElementById('live').dataset.frames || 0) >= 2, null, {timeout: 60_000});
  report.live.focusKept = await button.evaluate((e) => e === document.activeElement);
  await page.getByRole('button', {name: 'Pause updates'}).click();
  const at = await frames();
  await page.waitForTimeout(5000); // more than two rounds in which nothing may come
  report.live.afterPause = (await frames()) - at;
  report.live.words = await page.locator('#live-state span').textContent();
  await context.close();
};

try {
  await looks();
  await watchLive();
  await plain();
  await walk();
  await act();
  console.log(JSON.stringify(report));
} finally {
  await browser.close();
}
