// React Native's own modules: ErrorUtils of @react-native/js-polyfills, its ExceptionsManager, its Promise and the
// tracker of rejections.
import {start, type Beacon} from '../src';
import {DSN, Gateway, Memory, pass} from './harness';

const utils = (globalThis as any).ErrorUtils;
const original = utils.getGlobalHandler();
let gateway: Gateway;
let beacon: Beacon | undefined;

beforeEach(() => {
  jest.useFakeTimers({now: new Date('2026-11-26T10:00:00Z')});
  gateway = new Gateway();
});
afterEach(() => {
  beacon?.stop();
  utils.setGlobalHandler(original);
  jest.useRealTimers();
  jest.restoreAllMocks();
});

test('ErrorUtils is that of React Native', () => {
  expect(utils.applyWithGuard).toBeInstanceOf(Function);
  expect(require.resolve('@react-native/js-polyfills/error-guard')).toContain('node_modules');
});

test('errors that a guard catches are reported, and the previous handler is told', async () => {
  const previous = jest.fn();
  utils.setGlobalHandler(previous);
  beacon = start({dsn: DSN, release: 'com.example.shop@1.4.2+45', dist: '45', environment: 'production', tags: {team: 'cart'}});
  const error = new TypeError('undefined is not a function');
  utils.applyWithGuard(() => {
    throw error;
  });
  expect(previous).toHaveBeenCalledWith(error, false);
  await pass(1000);
  expect(gateway.requests[0]?.url).toBe('https://errors.shop.example/api/7/crash/?key=0123456789abcdef0123456789abcdef');
  expect(gateway.reports).toEqual([
    expect.objectContaining({
      platform: 'react-native', level: 'error', release: 'com.example.shop@1.4.2+45', dist: '45', environment: 'production', tags: {team: 'cart'},
      exceptions: [{type: 'TypeError', value: 'undefined is not a function', stack: error.stack, handled: false, mechanism: 'onerror'}],
      device: expect.objectContaining({os: 'iOS'}),
    }),
  ]);
});

test('a crash is stored before the previous handler ends the app', async () => {
  const storage = new Memory();
  const steps: string[] = [];
  utils.setGlobalHandler((_: unknown, fatal: boolean) => steps.push(`previous, fatal ${fatal}, ${storage.reports().length} stored`));
  gateway.answers.push('down', 'down', 'down', 'down');
  beacon = start({dsn: DSN, storage});
  await pass(10);
  utils.reportFatalError(new Error('gone'));
  expect(steps).toEqual([]);
  await pass(10);
  expect(steps).toEqual(['previous, fatal true, 1 stored']);

  beacon.stop(); // the process ends; the next one sends
  gateway.answers.length = 0;
  beacon = start({dsn: DSN, storage});
  expect(await beacon.crashedLastRun()).toBe(true);
  await pass(10);
  expect(gateway.reports).toMatchObject([{level: 'fatal', timestamp: Date.parse('2026-11-26T10:00:00.010Z') / 1000, exceptions: [{value: 'gone', handled: false}]}]);
  expect(storage.reports()).toEqual([]);
  beacon.stop();
  beacon = start({dsn: DSN, storage});
  expect(await beacon.crashedLastRun()).toBe(false);
});

test('a storage that hangs holds a crash up for its time, no longer', async () => {
  const storage = new Memory();
  const previous = jest.fn();
  utils.setGlobalHandler(previous);
  beacon = start({dsn: DSN, storage, crashTimeout: 500});
  storage.hangs = true;
  utils.reportFatalError(new Error('gone'));
  await pass(499);
  expect(previous).not.toHaveBeenCalled();
  await pass(1);
  expect(previous).toHaveBeenCalledTimes(1);
});

test("React Native's own handler stands behind ours", async () => {
  jest.spyOn(console, 'error').mockImplementation(() => {});
  const told: unknown[] = [];
  (globalThis as any).RN$handleException = (error: unknown, fatal: boolean) => told.push([error, fatal]);
  jest.isolateModules(() => require('react-native/Libraries/Core/setUpErrorHandling'));
  expect(utils.getGlobalHandler()).not.toBe(original);
  beacon = start({dsn: DSN});
  const error = new RangeError('far');
  utils.reportFatalError(error);
  await pass(10);
  expect(told).toEqual([[error, true]]);
  expect(gateway.reports).toMatchObject([{exceptions: [{type: 'RangeError'}]}]);
  delete (globalThis as any).RN$handleException;
});

test('stop gives the previous handler back, or leaves a later one alone', async () => {
  const previous = jest.fn();
  utils.setGlobalHandler(previous);
  start({dsn: DSN}).stop();
  expect(utils.getGlobalHandler()).toBe(previous);
  beacon = start({dsn: DSN});
  const ours = utils.getGlobalHandler();
  const later = jest.fn((e: unknown, fatal: boolean) => ours(e, fatal));
  utils.setGlobalHandler(later);
  beacon.stop();
  expect(utils.getGlobalHandler()).toBe(later);
  utils.reportError(new Error('after'));
  await pass(1000);
  expect(previous).toHaveBeenCalledTimes(1);
  expect(gateway.requests).toHaveLength(0);
});

test("rejections of React Native's Promise, by its own tracker", async () => {
  const warn = jest.spyOn(console, 'warn').mockImplementation(() => {});
  const RNPromise = require('react-native/Libraries/Promise').default as PromiseConstructor;
  expect(RNPromise).not.toBe(global.Promise);
  beacon = start({dsn: DSN, rejectionTracking: require('promise/setimmediate/rejection-tracking')});
  void RNPromise.reject(new TypeError('nobody caught this'));
  void RNPromise.reject('only words');
  const caught = RNPromise.reject(new Error('caught in time'));
  await pass(50);
  void caught.catch(() => {});
  await pass(4000);
  expect(gateway.reports.map((r) => r.exceptions.map((e: any) => [e.type, e.value, e.mechanism, e.handled]))).toEqual([
    [['TypeError', 'nobody caught this', 'onunhandledrejection', false]],
    [['UnhandledRejection', 'only words', 'onunhandledrejection', false]],
  ]);
  expect(warn).toHaveBeenCalledTimes(2); // in development, in place of React Native's own tracker
});

test("Hermes' tracker is taken where there is one", async () => {
  jest.spyOn(console, 'warn').mockImplementation(() => {});
  const enable = jest.fn();
  (globalThis as any).HermesInternal = {hasPromise: () => true, enablePromiseRejectionTracker: enable};
  const other = {enable: jest.fn()};
  beacon = start({dsn: DSN, rejectionTracking: other});
  delete (globalThis as any).HermesInternal;
  expect(other.enable).not.toHaveBeenCalled();
  const [options] = enable.mock.calls[0];
  expect(options.allRejections).toBe(true);
  const stack = 'Error: no stock\n    at anonymous (address at index.android.bundle:1:81231)\n    at apply (native)';
  options.onUnhandled(0, Object.assign(new Error('no stock'), {stack}));
  await pass(1000);
  expect(gateway.reports[0].exceptions[0].stack).toBe(stack); // raw: the gateway reads it
  beacon.stop();
  options.onUnhandled(1, new Error('after'));
  await pass(5000);
  expect(gateway.reports).toHaveLength(1);
});
