// What the drivers in this folder share: a page of another origin, and a browser.
import {createServer} from 'node:http';
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {build} from 'esbuild';
import {chromium} from 'playwright-core';

/**
 * Serves one page at every path, on a port of its own: `html` with the script that `entry`, a file of this folder,
 * becomes. Gives its address and a way to end it.
 */
export async function servePage(entry, html = '<!doctype html><title>shop</title><script src="/page.js"></script>') {
  const {outputFiles} = await build({
    entryPoints: [join(dirname(fileURLToPath(import.meta.url)), entry)],
    bundle: true, write: false, format: 'iife', logLevel: 'error', jsx: 'automatic', conditions: ['@breakwater/source'],
    define: {'process.env.NODE_ENV': '"production"'},
  });
  const script = outputFiles[0].contents;
  const server = createServer((req, res) => {
    if (req.url.startsWith('/page.js')) {
      res.writeHead(200, {'Content-Type': 'text/javascript'}).end(script);
    } else {
      res.writeHead(200, {'Content-Type': 'text/html'}).end(html);
    }
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {url: `http://localhost:${server.address().port}`, close: () => server.close()};
}

/** Opens Chromium with a fresh profile, and further arguments. CHROMIUM names it, /usr/bin/chromium when it does not. */
export async function openBrowser(...more) {
  const profile = await mkdtemp(join(tmpdir(), 'breakwater-e2e-'));
  const browser = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run', ...more],
  });
  browser.setDefaultTimeout(120_000); // the machine may have other work
  return {
    context: browser,
    close: async () => {
      await browser.close();
      await rm(profile, {recursive: true, force: true});
    },
  };
}
