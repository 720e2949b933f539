// A page as any shop has: the stock browser SDK, its options from the address.
import * as Sentry from '@sentry/browser';

const options = new URLSearchParams(location.search);
const tunnel = options.get('tunnel');
Sentry.init({
  dsn: options.get('dsn') ?? '',
  ...(tunnel ? {tunnel} : {}),
  release: 'shop@1.4.2',
  environment: 'e2e',
  integrations: [Sentry.browserTracingIntegration()],
  tracesSampleRate: 1,
  traceLifecycle: 'static',
} as Sentry.BrowserOptions);

Object.assign(window, {
  fail: (text: string) => Sentry.captureException(new Error(text)),
  transaction: (name: string) => Sentry.startSpan({name, op: 'task', forceTransaction: true}, () => {}),
});
