import * as Sentry from '@sentry/react';
import {metrics} from '../gateway';
import {growth, sleep, type Context, type Scenario} from '../runner';

const group = 'Web Vitals';

/** Opens the little shop in the card; gives the frame once the shop says it is ready. */
export async function openShop(ctx: Context, params: Record<string, string>): Promise<HTMLIFrameElement> {
  const query = new URLSearchParams({dsn: ctx.project.dsn, release: ctx.release, ...params});
  const ready = shopSays('ready');
  // What is not seen is not painted, and not measured.
  const look = setTimeout(() => document.querySelector('iframe.shop-frame')?.scrollIntoView({block: 'center'}), 50);
  ctx.show(<iframe className="shop-frame" title="Harbour shop" src={`/demo/shop.html?${query}`} key={Math.random()} />);
  await ready.finally(() => clearTimeout(look));
  const frame = document.querySelector<HTMLIFrameElement>('iframe.shop-frame');
  if (!frame) throw new Error('the shop did not open');
  return frame;
}

/** Waits for a word of the shop. */
export function shopSays(word: string, within = 60_000): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      removeEventListener('message', hear);
      reject(new Error(`the shop did not say “${word}” within ${within / 1000} s`));
    }, within);
    const hear = (e: MessageEvent<{shop?: string}>) => {
      if (e.origin !== location.origin || e.data?.shop !== word) return;
      clearTimeout(timer);
      removeEventListener('message', hear);
      resolve(e.data);
    };
    addEventListener('message', hear);
  });
}

/** A vital of a shop's scene, from the page that measures it to the histogram that holds it. */
function vital(scene: string, name: 'LCP' | 'CLS' | 'INP', rest: Pick<Scenario, 'title' | 'button' | 'says'>, meanwhile: (ctx: Context) => Promise<void>): Scenario {
  const family = name === 'CLS' ? 'web_vitals_cls' : `web_vitals_${name.toLowerCase()}_seconds`;
  return {
    id: scene,
    group,
    ...rest,
    async run(ctx) {
      const labels = {project: ctx.project.name, environment: 'demo', route: `/demo/shop/${scene}`};
      const before = await metrics();
      const count = growth(before, `${family}_count`, labels);
      const total = growth(before, `${family}_sum`, labels);
      const late = growth(before, 'breakwater_http_requests_total', {endpoint: 'vitals', code: '204'});
      await ctx.step('The shop opens', () => openShop(ctx, {scene}));
      await meanwhile(ctx);
      await ctx.step('The shop is left, and its beacon is answered 204', async () => {
        ctx.show(null);
        return ctx.metrics((now) => late(now) || undefined, 60_000);
      });
      await ctx.step(
        `The ${name} is in the histogram`,
        () => ctx.metrics((now) => {
          if (count(now) < 1) return undefined;
          const rating = ['good', 'needs-improvement', 'poor'].find((r) => growth(before, 'web_vitals_ratings_total', {...labels, vital: name, rating: r})(now) > 0);
          if (!rating) return undefined; // it was counted while these numbers were read
          const value = total(now) / count(now);
          ctx.fact('value', value);
          ctx.fact('rating', rating);
          return {value, rating};
        }),
        ({value, rating}) => `${name === 'CLS' ? value.toFixed(3) : `${value.toFixed(2)} s`}, ${rating}; it waited for the page’s last word (vitals.settle)`,
      );
    },
  };
}

export const lcp = vital('slow-lcp', 'LCP', {
  title: 'A slow largest paint',
  button: 'Load a slow page',
  says: 'The little shop shows its big picture after more than four seconds. Its LCP should be counted once, as poor, under its own route.',
}, (ctx) => ctx.step('The big picture comes late', () => shopSays('painted')).then(() => {}));

export const cls = vital('layout-jump', 'CLS', {
  title: 'A layout that jumps',
  button: 'Load a jumpy page',
  says: 'A banner arrives late and pushes the shop down. The layout shift should show as a poor CLS.',
}, (ctx) => ctx.step('The banner pushes the page down', () => shopSays('jumped')).then(() => {}));

export const inp = vital('slow-interaction', 'INP', {
  title: 'A slow interaction',
  button: 'Open a busy shop',
  says: 'Press “Pay” in the shop that opens: it is busy for more than half a second. The INP should be poor.',
}, (ctx) => ctx.step('You press “Pay” in the shop', () => shopSays('paid', 120_000)).then(() => {}));

export const softNavigation: Scenario = {
  id: 'soft-navigation',
  group,
  title: 'A soft navigation',
  button: 'Go to the orders',
  says: 'The page changes its address without loading. The SDK should send a trace of it, and where the browser measures it its Web Vitals are counted apart from those of loads.',
  async run(ctx) {
    const from = location.href;
    const counted = growth(await metrics(), 'web_vitals_navigations_total', {project: ctx.project.name, navigation_type: 'soft-navigation', vital: 'FCP'});
    const trace = ctx.sent((s) => {
      const text = JSON.stringify(s.items.map((i) => i.payload));
      return text.includes('"navigation"') && text.includes('/demo/orders/7');
    }, 60_000);
    await ctx.step('The address changes', async () => {
      history.pushState(null, '', '/demo/orders/7');
      ctx.beacon.route('/demo/orders/:id');
      ctx.show(<p className="orders">Order 7: one anchor, 12 kg. Waiting in the harbour.</p>);
      await sleep(300);
    }, () => location.pathname);
    await ctx.step('The SDK sends the navigation', async () => {
      setTimeout(() => void Sentry.flush(), 1500); // it waits for a quiet page
      const sent = await trace;
      ctx.fact('items', sent.items.map((i) => i.type));
      if (sent.status !== 200) throw new Error(`the gateway answered ${sent.status}`);
      return sent;
    }, (sent) => sent.items.map((i) => i.type).join(', '));
    await ctx.step('The gateway accepts it', () => ctx.line((l) => (l.category === 'transaction' || l.category === 'span') && l.outcome === 'accepted'), (l) => `${l.category} ${l.summary ?? ''}`);
    if (PerformanceObserver.supportedEntryTypes.includes('soft-navigation')) {
      await ctx.step('Its first paint is counted, as a soft navigation and apart from loads', async () => {
        return ctx.metrics((now) => {
          void ctx.beacon.flush(); // the browser may tell of the paint late
          return counted(now) || undefined;
        });
      }, (n) => `${n} more in web_vitals_navigations_total`);
    } else {
      await ctx.step('This browser does not measure soft navigations', () => {}, () => 'Chromium does, from version 151');
    }
    history.replaceState(null, '', from);
    ctx.beacon.route('/demo');
  },
};
