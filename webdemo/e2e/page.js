// The page under test: the stock SDK as its documentation sets it up, and
// buttons for a driver instead of for people.
import * as Sentry from '@sentry/browser';

const dsn = new URL(location.href).searchParams.get('dsn');

Sentry.init({
  dsn,
  release: 'shop@1.4.2',
  environment: 'production',
  tracesSampleRate: 1,
  integrations: [],
});

window.shop = {
  fail: (name) => Sentry.captureException(new Error(`cannot load ${name}`)),
  trace: (name) => Sentry.startSpan({name, op: 'task', forceTransaction: true}, () => undefined),
  session: () => {
    Sentry.startSession();
    Sentry.captureSession();
  },
  flush: () => Sentry.flush(5000),
};
