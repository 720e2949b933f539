import crashlytics, * as modular from '../src/crashlytics';
import {start, type Beacon} from '../src';
import {DSN, Gateway, Memory, pass} from './harness';

const utils = (globalThis as any).ErrorUtils;
const original = utils.getGlobalHandler();
let gateway: Gateway;
let beacon: Beacon;
let storage: Memory;

beforeEach(() => {
  jest.useFakeTimers({now: new Date('2026-11-26T10:00:00Z')});
  utils.setGlobalHandler(jest.fn());
  gateway = new Gateway();
  storage = new Memory();
  beacon = start({dsn: DSN, storage});
});
afterEach(() => {
  beacon.stop();
  utils.setGlobalHandler(original);
  jest.useRealTimers();
  jest.restoreAllMocks();
});

// The calls an app makes, once in each API; what arrives must be the same.
const apis: [string, () => Promise<void>][] = [
  ['namespaced', async () => {
    crashlytics().log('opened the cart');
    expect(await crashlytics().setUserId('u-17')).toBeNull();
    expect(await crashlytics().setAttribute('plan', 'gold')).toBeNull();
    expect(await crashlytics().setAttributes({country: 'de', cart: '3'})).toBeNull();
    crashlytics().recordError(new TypeError('plain'));
    crashlytics().recordError(new Error('renamed'), 'PaymentError');
  }],
  ['modular', async () => {
    const c = modular.getCrashlytics();
    modular.log(c, 'opened the cart');
    expect(await modular.setUserId(c, 'u-17')).toBeNull();
    expect(await modular.setAttribute(c, 'plan', 'gold')).toBeNull();
    expect(await modular.setAttributes(c, {country: 'de', cart: '3'})).toBeNull();
    modular.recordError(c, new TypeError('plain'));
    modular.recordError(c, new Error('renamed'), 'PaymentError');
  }],
];

test.each(apis)('%s: errors with logs, attributes and user', async (_, calls) => {
  await calls();
  await pass(1000);
  expect(gateway.reports).toHaveLength(2);
  for (const r of gateway.reports) {
    expect(r).toMatchObject({
      level: 'error', user: {id: 'u-17'}, tags: {plan: 'gold', country: 'de', cart: '3'}, breadcrumbs: [{category: 'log', message: 'opened the cart'}],
    });
  }
  expect(gateway.reports.map((r) => [r.exceptions[0].type, r.exceptions[0].value, r.exceptions[0].handled])).toEqual([['TypeError', 'plain', true], ['PaymentError', 'renamed', true]]);
  expect(gateway.reports[1].exceptions[0].stack).toContain('crashlytics.test');
});

test('crash goes the way of a crash, and the next run knows', async () => {
  expect(await crashlytics().didCrashOnPreviousExecution()).toBe(false);
  gateway.answers.push('down', 'down', 'down', 'down', 'down');
  const previous = jest.fn();
  beacon.stop();
  utils.setGlobalHandler(previous);
  beacon = start({dsn: DSN, storage});
  modular.crash(modular.getCrashlytics());
  await pass(10);
  expect(previous).toHaveBeenCalledWith(expect.any(Error), true);
  beacon.stop();
  gateway.answers.length = 0;
  beacon = start({dsn: DSN, storage});
  expect(await modular.didCrashOnPreviousExecution(modular.getCrashlytics())).toBe(true);
  await pass(10);
  expect(gateway.reports).toMatchObject([{level: 'fatal'}]);
});

test('collection', async () => {
  const c = modular.getCrashlytics();
  expect(crashlytics().isCrashlyticsCollectionEnabled).toBe(true);
  expect(() => crashlytics().checkForUnsentReports()).toThrow(/disabled collection/);
  expect(await crashlytics().setCrashlyticsCollectionEnabled(false)).toBeNull();
  expect(modular.isCrashlyticsCollectionEnabled(c)).toBe(false);
  expect(await modular.checkForUnsentReports(c)).toBe(false);
  modular.recordError(c, new Error('kept'));
  await pass(5000);
  expect(gateway.requests).toHaveLength(0);
  expect(await crashlytics().checkForUnsentReports()).toBe(true);
  await modular.deleteUnsentReports(c);
  expect(await crashlytics().checkForUnsentReports()).toBe(false);
  modular.recordError(c, new Error('sent'));
  modular.sendUnsentReports(c);
  await pass(10);
  expect(gateway.reports.map((r) => r.exceptions[0].value)).toEqual(['sent']);
  await modular.setCrashlyticsCollectionEnabled(c, true);
  expect(crashlytics().isCrashlyticsCollectionEnabled).toBe(true);
});

test('wrong arguments are refused as theirs are', async () => {
  const warn = jest.spyOn(console, 'warn').mockImplementation(() => {});
  crashlytics().recordError('text' as unknown as Error);
  expect(warn).toHaveBeenCalledTimes(1);
  await expect(crashlytics().setAttribute('a', 1 as unknown as string)).rejects.toThrow(/string/);
  await expect(crashlytics().setAttributes(null as unknown as {})).rejects.toThrow(/object/);
  await expect(crashlytics().setUserId(7 as unknown as string)).rejects.toThrow(/string/);
  await expect(crashlytics().setCrashlyticsCollectionEnabled('yes' as unknown as boolean)).rejects.toThrow(/boolean/);
  await pass(1000);
  expect(gateway.requests).toHaveLength(0);
});
