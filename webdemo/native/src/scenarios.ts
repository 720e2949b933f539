import crashlytics from '@breakwater/beacon-native/crashlytics';
import * as Sentry from '@sentry/react-native';
import {breakPrice} from './Price';
import {sleep, type Context, type Scenario} from './runner';

/** The id of the next event whose message has the word. */
function idOf(word: string): Promise<string> {
  return new Promise((done, failed) => {
    const timer = setTimeout(() => failed(new Error('the SDK saw nothing within 30 s')), 30_000);
    const end = Sentry.getClient()?.on('beforeSendEvent', (event) => {
      if (!JSON.stringify(event.exception ?? '').includes(word)) return;
      clearTimeout(timer);
      end?.();
      done(event.event_id ?? '');
    });
  });
}

/** A word that tells this press from others, without digits: the gateway folds those. */
const mark = () => Array.from({length: 8}, () => String.fromCharCode(97 + Math.random() * 26)).join('');

interface Guard {
  reportError(error: unknown): void;
}

/** What the shop does when somebody pays: release 1.4.2 is the bad one. */
async function pay(ctx: Context): Promise<void> {
  const bad = ctx.release.endsWith('1.4.2');
  const id = await ctx.step(bad ? 'Paying fails' : 'Paying works', () => {
    if (!bad) return '';
    return Sentry.captureException(new TypeError("undefined is not an object (evaluating 'order.price')"), {level: 'fatal'});
  });
  if (id) await ctx.arrives(id);
}

/** Every story of the app, in its order. */
export const scenarios: readonly Scenario[] = [
  {
    id: 'handled-error', title: 'A handled error', button: 'Catch an error',
    says: 'The shop catches an error and reports it. It should be on disk before the SDK hears 200.',
    async run(ctx) {
      try {
        JSON.parse('{"cart": ');
      } catch (error) {
        await ctx.arrives(Sentry.captureException(error));
      }
    },
  },
  {
    id: 'unhandled-error', title: 'An unhandled error', button: 'Throw an error',
    says: 'Nobody catches this one: it ends in React Native’s global handler, before which the SDK stands. In development a red box shows it.',
    async run(ctx) {
      const word = mark();
      const id = idOf(word);
      (globalThis as unknown as {ErrorUtils: Guard}).ErrorUtils.reportError(new TypeError(`cannot read the price of ${word}`));
      await ctx.arrives(await id);
    },
  },
  {
    id: 'promise-rejection', title: 'A promise nobody waits for', button: 'Reject a promise',
    says: 'A rejected promise without a catch is found by the engine’s tracker, after a moment, and arrives.',
    async run(ctx) {
      const word = mark();
      const id = idOf(word);
      void Promise.reject(new RangeError(`the stock of ${word} is negative`));
      await ctx.arrives(await id);
    },
  },
  {
    id: 'render-error', title: 'A component that breaks', button: 'Break a component',
    says: 'The price tag breaks while rendering; the error boundary shows a fallback and reports it.',
    async run(ctx) {
      const word = mark();
      const id = idOf(word);
      await ctx.step('The boundary shows its fallback', () => breakPrice(word));
      await ctx.arrives(await id);
    },
  },
  {
    id: 'error-burst', title: 'The same error, 120 times', button: 'Start a storm',
    says: 'A loop reports one error 120 times. Storm control lets the first ones pass and counts the rest: the console shows it.',
    async run(ctx) {
      let last = '';
      await ctx.step('The loop runs', async () => {
        for (let n = 1; n <= 120; n++) {
          last = Sentry.captureException(new Error(`item ${n} of the list cannot be shown`));
          if (n % 10 === 0) await Sentry.flush(); // the SDK holds 30 at once, and drops what is more
        }
      });
      await ctx.arrives(last);
    },
  },
  {
    id: 'slow-screen', title: 'A slow screen', button: 'Open the orders',
    says: 'A screen takes a second and a half to show. Its time to initial display should be in the mobile histograms, under its route.',
    async run(ctx) {
      const began = Date.now();
      await ctx.step('The screen opens slowly', () => sleep(1500));
      ctx.beacon.route('Orders');
      ctx.beacon.vital('ttid', Date.now() - began, 'Orders');
      await ctx.step('The measurement leaves', () => ctx.beacon.flush());
    },
  },
  {
    id: 'navigation', title: 'A navigation', button: 'Go to the cart',
    says: 'The SDK traces a change of screens and sends the trace.',
    async run(ctx) {
      let id = '';
      const end = Sentry.getClient()?.on('beforeSendEvent', (event) => {
        if (event.type === 'transaction' && event.transaction === 'Cart') id = event.event_id ?? '';
      });
      await ctx.step('The trace is made', async () => {
        await Sentry.startSpan({name: 'Cart', op: 'navigation', forceTransaction: true}, () => sleep(50));
        for (let i = 0; i < 300 && !id; i++) await sleep(100);
        if (!id) throw new Error('the SDK made no transaction');
      });
      end?.();
      await ctx.arrives(id);
    },
  },
  {
    id: 'user-feedback', title: 'What a person says', button: 'Send feedback',
    says: 'A message of a visitor travels like an error.',
    run: (ctx) => ctx.arrives(Sentry.captureFeedback({name: 'Robin Harbour', message: 'The anchor is on the wrong shelf.'})),
  },
  {
    id: 'offline', title: 'Offline, then online', button: 'Lose the network',
    says: 'Two errors happen without a network; they rest in the phone’s storage. When the network is back they arrive, each once, with their own time.',
    async run(ctx) {
      const online = globalThis.fetch;
      globalThis.fetch = () => Promise.reject(new TypeError('Network request failed'));
      try {
        await ctx.step('Two errors are kept', async () => {
          for (const n of ['first', 'second']) ctx.beacon.capture(new Error(`${n} error in the tunnel`));
          await ctx.beacon.flush();
          const waiting = await ctx.beacon.unsent();
          if (waiting < 2) throw new Error(`${waiting} wait`);
          return waiting;
        }, (n) => `${n} wait in the storage`);
      } finally {
        globalThis.fetch = online;
      }
      await ctx.step('The network is back', () => ctx.beacon.sendUnsent());
      await ctx.taken();
    },
  },
  {
    id: 'big-attachment', title: 'A big attachment', button: 'Attach 5 MiB',
    says: 'An error with 5 MiB attached, which the gateway streams to disk.',
    async run(ctx) {
      const data = new Uint8Array(5 << 20).map((_, i) => (i * 31) & 255);
      let id = '';
      Sentry.withScope((scope) => {
        scope.addAttachment({filename: 'harbour-chart.bin', data, contentType: 'application/octet-stream'});
        id = Sentry.captureException(new Error('the chart cannot be read'));
      });
      await ctx.arrives(id);
    },
  },
  {
    id: 'pii', title: 'What must not leave', button: 'Report with all of it',
    says: 'An error with a card number, an IBAN, a password and a token in its contexts and breadcrumbs. What is stored and sent on has none of them: look at the event in the console.',
    async run(ctx) {
      let id = '';
      Sentry.withScope((scope) => {
        scope.setUser({id: 'u-17', email: 'robin@harbour.example', ip_address: '203.0.113.77'});
        scope.setContext('checkout', {card_number: '4111 1111 1111 1111', iban: 'DE89 3704 0044 0532 0130 00', password: 'correct horse battery', items: 3});
        scope.setExtra('headers', {authorization: 'Bearer sk_demo_51H8x2yZ'});
        scope.addBreadcrumb({category: 'form', message: 'filled in 4111 1111 1111 1111'});
        id = Sentry.captureException(new Error('the payment failed'));
      });
      await ctx.arrives(id);
    },
  },
  {
    id: 'crashlytics', title: 'Without Crashlytics', button: 'Make its calls',
    says: 'The calls of Crashlytics, with its import changed: an error with logs and attributes arrives by the plain crash API.',
    async run(ctx) {
      await ctx.step('The calls are made', async () => {
        crashlytics().log('opened the cart');
        await crashlytics().setUserId('u-17');
        await crashlytics().setAttributes({plan: 'gold'});
        crashlytics().recordError(new TypeError(`cart ${mark()} is undefined`));
      });
      await ctx.taken();
    },
  },
  {
    id: 'bad-release', title: 'A release that is bad', button: 'Pay',
    says: 'Paying works in release 1.4.1. In 1.4.2, chosen above, it fails every time: errors by release tell them apart.',
    run: pay,
  },
  {
    id: 'replay', title: 'A replay', button: 'Record the screen', phone: true,
    says: 'The native SDK records the last seconds before an error, with texts masked.',
    async run(ctx) {
      await ctx.arrives(Sentry.captureException(new Error('an error with a replay')));
    },
  },
  {
    id: 'native-crash', title: 'A native crash', button: 'Crash the app', phone: true,
    says: 'The app ends at once. At its next start the native SDK sends what happened.',
    async run() {
      Sentry.nativeCrash();
      await sleep(2000);
      throw new Error('the app is still here');
    },
  },
];
