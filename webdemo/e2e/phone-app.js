// An app as a phone runs it, without a screen: it leaves Crashlytics by its import, and crashes. `globalThis.phone` is
// what a phone would be: see phone.mjs.
import {start} from '@breakwater/beacon-native';
import crashlytics, {getCrashlytics, log, recordError, setAttributes} from '@breakwater/beacon-native/crashlytics';

const {dsn, errors, crash, storage, tracking, done} = globalThis.phone;

const beacon = start({
  dsn,
  storage,
  rejectionTracking: tracking, // on Hermes there is none, nor need of one
  release: 'com.example.shop@1.4.2+45',
  dist: '45',
  environment: 'production',
  processStart: Date.now() - 640,
});

function payOrder(n) {
  throw new TypeError(`cart ${n} is undefined`);
}

async function run() {
  beacon.route('Cart');
  beacon.appStarted();
  await crashlytics().setUserId('u-17');
  await setAttributes(getCrashlytics(), {plan: 'gold'});
  log(getCrashlytics(), 'opened the cart');
  for (let n = 1; n <= errors; n++) {
    try {
      payOrder(n);
    } catch (error) {
      recordError(getCrashlytics(), error);
    }
  }
  if (errors) {
    Promise.reject(new RangeError('stock is negative'));
    // In its own time, as every engine gives a rejection.
    await new Promise((next) => setTimeout(next, 2500));
  }
  if (crash) {
    await beacon.unsent(); // what was recorded is stored
    globalThis.ErrorUtils.applyWithGuard(() => setTimeout(() => globalThis.ErrorUtils.reportFatalError(new Error('the app is gone'))));
    return;
  }
  while ((await beacon.unsent()) > 0) await new Promise((next) => setTimeout(next, 50));
  await beacon.flush();
  done(await beacon.crashedLastRun());
}

run().catch((error) => done(`failed: ${error && error.stack}`));
