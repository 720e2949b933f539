// Runs phone-app.js as far as this machine carries a phone.
//
//   node phone.mjs node '{"dsn": …, "errors": 3, "crash": true, "dir": …, "bundle": …, "online": false, "killAfterAnswer": false}'
//   node phone.mjs hermes '{"dsn": …, "errors": 3, "crash": true}'
//
// node: in this process, with React Native's ErrorUtils, its Promise and its tracker of rejections, a storage of files
// in dir, and Node's fetch; bundle is a file that keeps what was built for the next run. When React Native's own handler
// would end the app, the process kills itself with SIGKILL; killAfterAnswer does so at the first answer, before the
// client hears it.
// hermes: HERMES names a folder with hermes and hermesc; the app is compiled to bytecode, as for a release, and run in
// that virtual machine, which has a tracker of its own, timers that do not wait, and no network: what it would send is
// printed, and sent from here.
//
// Prints what the app told at its end as JSON.
import {execFileSync} from 'node:child_process';
import {existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {transformAsync} from '@babel/core';
import {build} from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const [engine, text] = process.argv.slice(2);
if (!text) {
  console.error('usage: node phone.mjs node|hermes JSON');
  process.exit(2);
}
const config = JSON.parse(text);

// metro does what Metro does for a release: React Native's Babel preset for every file, then one bundle. The platform
// is a stub: there is no React Native without a phone.
const metro = {
  name: 'metro',
  setup(b) {
    b.onResolve({filter: /^react-native$/}, () => ({path: 'react-native', namespace: 'stub'}));
    b.onLoad({filter: /.*/, namespace: 'stub'}, () => ({
      contents: `
        export const Platform = {OS: 'android', Version: 35, constants: {Model: 'Pixel 9', Manufacturer: 'Google', Release: '16'}};
        export const AppState = {currentState: 'active', addEventListener: () => ({remove() {}})};`,
    }));
    b.onLoad({filter: /\.(js|ts|tsx)$/, namespace: 'file'}, async ({path}) => {
      return {contents: await transform(path), loader: 'js'};
    });
  },
};

async function transform(filename) {
  const {code} = await transformAsync(readFileSync(filename, 'utf8'), {
    filename, babelrc: false, configFile: false, sourceMaps: false, compact: false,
    presets: [[require.resolve('@react-native/babel-preset'), {disableImportExportTransform: true, enableBabelRuntime: false}]],
  });
  return code;
}

async function bundle(contents, outfile) {
  await build({
    stdin: {contents, resolveDir: here}, outfile, bundle: true, format: 'iife', plugins: [metro], logLevel: 'error',
    conditions: ['@breakwater/source', 'react-native'], define: {'process.env.NODE_ENV': '"production"', __DEV__: 'false'},
  });
}

const dir = mkdtempSync(join(tmpdir(), 'breakwater-phone-'));
process.on('exit', () => rmSync(dir, {recursive: true, force: true}));

if (engine === 'node') {
  class Files {
    path = (key) => join(config.dir, encodeURIComponent(key));
    async getItem(key) {
      try {
        return readFileSync(this.path(key), 'utf8');
      } catch {
        return null;
      }
    }
    async setItem(key, value) {
      writeFileSync(this.path(key) + '~', value);
      renameSync(this.path(key) + '~', this.path(key));
    }
    async removeItem(key) {
      rmSync(this.path(key), {force: true});
    }
  }
  const online = globalThis.fetch;
  globalThis.fetch = async (...args) => {
    // One that dies at an answer does so at that of its reports: what is measured leaves a second later, or not at all.
    if (!config.online || (config.killAfterAnswer && !String(args[0]).includes('/crash/'))) throw new TypeError('Network request failed');
    const answer = await online(...args);
    if (config.killAfterAnswer) process.kill(process.pid, 'SIGKILL');
    return answer;
  };
  globalThis.phone = {
    ...config,
    storage: new Files(),
    end: () => process.kill(process.pid, 'SIGKILL'),
    done: (crashed) => {
      console.log(JSON.stringify({crashed}));
      process.exit(0);
    },
  };
  const file = config.bundle ?? join(dir, 'app.cjs');
  if (!existsSync(file)) await bundle(
    `import '@react-native/js-polyfills/error-guard';
     import * as tracking from 'promise/setimmediate/rejection-tracking';
     import Promise from 'promise/setimmediate/es6-extensions';
     globalThis.ErrorUtils.setGlobalHandler((error, fatal) => { if (fatal) globalThis.phone.end(); });
     globalThis.Promise = Promise;
     globalThis.phone.tracking = tracking;
     require('./phone-app.js');`,
    file,
  );
  require(file);
} else {
  const file = join(dir, 'index.android.bundle');
  await bundle(
    `globalThis.global = globalThis; // Metro does so
     const clear = clearTimeout; // this machine's throws where others do nothing
     globalThis.clearTimeout = (id) => { if (id !== undefined) clear(id); };
     globalThis.phone = {
       ...${JSON.stringify(config)},
       storage: {map: new Map(), async getItem(k) { return this.map.get(k) ?? null; }, async setItem(k, v) { this.map.set(k, v); }, async removeItem(k) { this.map.delete(k); }},
       done: (crashed) => print('DONE ' + JSON.stringify({crashed})),
     };
     globalThis.fetch = (url, init) => { print('POST ' + JSON.stringify({url, body: init.body})); return Promise.resolve({status: 200, headers: {get: () => null}}); };
     globalThis.console = {warn: print, error: print, log: print};
     require('@react-native/js-polyfills/error-guard');
     globalThis.ErrorUtils.setGlobalHandler((error, fatal) => { if (fatal) print('DONE ' + JSON.stringify({crashed: 'now'})); });
     require('./phone-app.js');`,
    file + '.js',
  );
  writeFileSync(file, await transform(file + '.js')); // what the bundler added is for newer engines
  mkdirSync(join(dir, 'app'));
  const tool = (name) => join(process.env.HERMES, name);
  execFileSync(tool('hermesc'), ['-O', '-g0', '-w', '-emit-binary', '-out', 'app/index.android.bundle', 'index.android.bundle'], {cwd: dir});
  const out = execFileSync(tool('hermes'), ['-b', 'index.android.bundle'], {cwd: join(dir, 'app'), encoding: 'utf8', maxBuffer: 64 << 20});
  for (const line of out.split('\n')) {
    const [word, json] = line.split(/ (.*)/s);
    if (word === 'POST') {
      const {url, body} = JSON.parse(json);
      const answer = await fetch(url, {method: 'POST', body});
      if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
    } else if (word === 'DONE') {
      console.log(json);
    } else if (line) {
      console.error(line);
    }
  }
}
