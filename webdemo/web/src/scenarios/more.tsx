import * as Sentry from '@sentry/react';
import {metrics, scrub, type Sample} from '../gateway';
import {growth, sleep, type Scenario} from '../runner';
import {network} from '../telemetry';
import {Scrubbed} from '../Scrubbed';
import {openShop, shopSays} from './vitals';

export const replay: Scenario = {
  id: 'replay',
  group: 'More than errors',
  title: 'A replay',
  button: 'Record this page',
  says: 'The SDK records this page for some seconds, with every text masked, and sends it. The gateway reads the recording, too: what its rules know is taken out of it.',
  async run(ctx) {
    const recorder = Sentry.getReplay();
    if (!recorder) throw new Error('the SDK has no replay');
    await ctx.step('The recorder runs', async () => {
      if (!recorder.getReplayId()) recorder.start();
      await sleep(6000); // shorter ones are not sent
      await recorder.flush({continueRecording: false});
    });
    const sent = await ctx.step('The SDK sends an event and a recording', () => ctx.sent((s) => s.items.some((i) => i.type === 'replay_recording')), (s) =>
      s.items.map((i) => `${i.type}, ${i.size} bytes`).join('; '));
    ctx.fact('event_id', sent.eventID);
    await ctx.step('The gateway decides', () => ctx.line((l) => l.category === 'replay'), (l) => `${l.outcome} ${l.reason ?? ''}`);
    await recorder.stop();
  },
};

export const feedback: Scenario = {
  id: 'user-feedback',
  group: 'More than errors',
  title: 'What a person says',
  button: 'Send feedback',
  says: 'A message of a visitor travels like an error: on disk first, scrubbed, then to the upstream.',
  fields: [
    {name: 'name', label: 'Name', value: 'Robin Harbour'},
    {name: 'message', label: 'Message', value: 'The anchor is on the wrong shelf.'},
  ],
  async run(ctx) {
    await ctx.arrives(Sentry.captureFeedback({name: ctx.values['name'] ?? '', message: ctx.values['message'] || 'nothing'}));
  },
};

export const offline: Scenario = {
  id: 'offline',
  group: 'Bad days',
  title: 'Offline, then online',
  button: 'Lose the network',
  says: 'Two errors happen without a network; the SDK keeps them in the browser. When the network is back they should arrive, with the time at which they happened.',
  async run(ctx) {
    network.online = false;
    const ids: string[] = [];
    try {
      await ctx.step('Two errors happen without a network', async () => {
        for (const n of ['first', 'second']) {
          const id = Sentry.captureException(new Error(`${n} error in the tunnel`), {tags: {scenario: 'offline'}});
          ids.push(id);
          const sent = await ctx.sent((s) => s.eventID === id);
          if (sent.status !== 0) throw new Error('it went through');
        }
        await sleep(1500);
      }, () => 'both failed to send');
    } finally {
      network.online = true;
    }
    await ctx.step('The network is back', () => {
      ids.push(Sentry.captureException(new Error('third error, in daylight'), {tags: {scenario: 'offline'}}));
    });
    ctx.fact('event_ids', ids);
    await ctx.step('All three arrive', async () => {
      const lines = await Promise.all(ids.map((id) => ctx.line((l) => l.event_id === id && l.category === 'error', 60_000)));
      return lines;
    }, (lines) => lines.map((l) => `${l.outcome} at ${l.at.slice(11, 19)}`).join(', '));
  },
};

export const attachment: Scenario = {
  id: 'big-attachment',
  group: 'Bad days',
  title: 'A big attachment',
  button: 'Attach 5 MiB',
  says: 'An error with 5 MiB attached: the gateway streams what is large to disk and holds none of it in memory.',
  async run(ctx) {
    const data = new Uint8Array(5 << 20);
    for (let i = 0; i < data.length; i += 65536) crypto.getRandomValues(data.subarray(i, i + 65536));
    let id = '';
    Sentry.withScope((scope) => {
      scope.addAttachment({filename: 'harbour-chart.bin', data, contentType: 'application/octet-stream'});
      id = Sentry.captureException(new Error('the chart cannot be read'), {tags: {scenario: 'big-attachment'}});
    });
    await ctx.arrives(id);
    await ctx.step('The attachment arrives with it', () => ctx.line((l) => l.category === 'attachment' && l.event_id === id), (l) => {
      ctx.fact('outcome', l.outcome);
      return l.outcome;
    });
  },
};

export const pii: Scenario = {
  id: 'pii',
  group: 'Privacy',
  title: 'What must not leave',
  button: 'Report with all of it',
  says: 'An error that carries what you type here, in its user, contexts, extras and breadcrumbs. Below you see what this page sent and what the project’s rules leave of it. E-mail addresses stay unless scrub.email says otherwise, and so does an error’s own message, as with Sentry: a rule at $error.value would take from it.',
  fields: [
    {name: 'email', label: 'E-mail', value: 'robin@harbour.example', type: 'email'},
    {name: 'card', label: 'Card number', value: '4111 1111 1111 1111'},
    {name: 'iban', label: 'IBAN', value: 'DE89 3704 0044 0532 0130 00'},
    {name: 'password', label: 'Password', value: 'correct horse battery'},
    {name: 'token', label: 'API key', value: 'Bearer sk_demo_51H8x2yZ'},
    {name: 'ip', label: 'Address', value: '203.0.113.77'},
  ],
  async run(ctx) {
    const v = ctx.values;
    const before = growth(await metrics(), 'breakwater_scrubbed_total', {project: ctx.project.name});
    let id = '';
    Sentry.withScope((scope) => {
      scope.setUser({id: 'u-17', email: v['email'] ?? '', ip_address: v['ip'] ?? ''});
      scope.setContext('checkout', {card_number: v['card'], iban: v['iban'], password: v['password'], items: 3});
      scope.setExtra('headers', {authorization: v['token'], accept: 'application/json'});
      scope.addBreadcrumb({category: 'form', message: `filled in ${v['card']}`, data: {password: v['password']}});
      id = Sentry.captureException(new Error('the payment failed'), {tags: {scenario: 'pii'}});
    });
    await ctx.arrives(id);
    const sent = await ctx.sent((s) => s.eventID === id);
    const payload = sent.items.find((i) => i.type === 'event')?.payload;
    const {payload: after, hits} = await ctx.step('The project’s rules, asked about what this page sent', () => scrub(ctx.project.name, 'event', payload), ({hits}) => `${hits.length} places`);
    ctx.show(<Scrubbed before={payload} after={after} hits={hits} />);
    ctx.fact('hits', hits);
    await ctx.step('None of what is secret is left', () => {
      const text = JSON.stringify(after);
      const left = ['card', 'iban', 'password', 'token'].filter((name) => v[name] && text.includes(v[name]));
      if (left.length) throw new Error(`still there: ${left.join(', ')}`);
    });
    await ctx.step('The gateway counts what it took from the real one', () => ctx.metrics((now) => before(now) || undefined, 60_000), (n) => `${n} more in breakwater_scrubbed_total`);
  },
};

export const csp: Scenario = {
  id: 'csp-violation',
  group: 'Privacy',
  title: 'A violated Content-Security-Policy',
  button: 'Load a forbidden picture',
  says: 'The page asks for a picture that its policy forbids. The browser itself reports that to the gateway.',
  async run(ctx) {
    const violated = new Promise<SecurityPolicyViolationEvent>((done) => document.addEventListener('securitypolicyviolation', done, {once: true}));
    await ctx.step('The browser refuses the picture', async () => {
      new Image().src = `https://tracker.example/pixel-${Math.random().toString(36).slice(2)}.png`;
      return violated;
    }, (e) => `${e.effectiveDirective} forbids ${new URL(e.blockedURI).host}`);
    await ctx.step('The report is at the gateway', () => ctx.line((l) => l.endpoint === 'security'), (l) => {
      ctx.fact('outcome', l.outcome);
      return `${l.outcome} as ${l.category}${l.summary ? `: “${l.summary}”` : ''}`;
    });
  },
};

export const badRelease: Scenario = {
  id: 'bad-release',
  group: 'Releases',
  title: 'A release that is bad',
  button: 'Let 12 visitors in',
  says: 'Six visitors come to release 1.4.1 of the shop and six to 1.4.2, where every second one runs into an error nobody catches. The share of sessions without an error should fall for 1.4.2 alone.',
  async run(ctx) {
    const versions = ['1.4.1', '1.4.2'] as const;
    const before = await metrics();
    const count = (now: Sample[], version: string, status: string) =>
      growth(before, 'release_sessions_total', {project: ctx.project.name, environment: 'demo', release: `shop@${version}`, status})(now);
    for (const version of versions) {
      await ctx.step(`Six visitors of ${version}`, async () => {
        for (let n = 1; n <= 6; n++) {
          const gone = shopSays('gone');
          await openShop(ctx, {scene: 'visit', release: `shop@${version}`, visitor: `${n}`});
          await gone;
        }
        ctx.show(null);
      });
    }
    const shares = await ctx.step(
      'The gateway counts their sessions',
      () => ctx.metrics((now) => {
        if (versions.some((v) => count(now, v, 'started') < 6) || count(now, '1.4.2', 'errored') < 3) return undefined;
        return versions.map((v) => 1 - count(now, v, 'errored') / count(now, v, 'started'));
      }, 60_000),
      () => 'from what the stock SDK sends about sessions',
    );
    ctx.fact('error_free', shares);
    await ctx.step('The bad one stands out', () => {
      if (!(shares[1]! < shares[0]!)) throw new Error(`without an error: ${shares.join(' and ')}`);
    }, () => `sessions without an error: ${Math.round(shares[0]! * 100)} % of 1.4.1, ${Math.round(shares[1]! * 100)} % of 1.4.2`);
  },
};
