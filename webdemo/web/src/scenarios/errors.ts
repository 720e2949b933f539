import * as Sentry from '@sentry/react';
import type {Context, Scenario} from '../runner';
import {sleep} from '../runner';
import {breakPrice} from '../Price';

const group = 'Errors';

/** The id of the next error event whose message says so. */
const idOf = (ctx: Context, message: string) =>
  ctx.sent((s) => s.items.some((i) => i.type === 'event' && JSON.stringify(i.payload).includes(message))).then((s) => s.eventID);

/** A word that tells this press from others, without digits: the gateway folds those. */
const mark = () => Array.from({length: 8}, () => String.fromCharCode(97 + Math.random() * 26)).join('');

export const handled: Scenario = {
  id: 'handled-error',
  group,
  title: 'A handled error',
  button: 'Catch an error',
  says: 'The shop catches an error and reports it. It should be on disk before the SDK hears 200, and leave for the upstream at once.',
  async run(ctx) {
    let id = '';
    try {
      JSON.parse('{"cart": ');
    } catch (error) {
      id = Sentry.captureException(error, {tags: {scenario: 'handled-error'}});
    }
    await ctx.arrives(id);
  },
};

export const unhandled: Scenario = {
  id: 'unhandled-error',
  group,
  title: 'An unhandled error',
  button: 'Throw an error',
  says: 'Nobody catches this one: the SDK finds it by itself, with the stack, and the session counts as errored.',
  async run(ctx) {
    const word = mark();
    setTimeout(function pay() {
      throw new TypeError(`cannot read the price of ${word}`);
    });
    const line = await ctx.arrives(idOf(ctx, word));
    ctx.fact('summary', line.summary);
  },
};

export const rejection: Scenario = {
  id: 'promise-rejection',
  group,
  title: 'A promise nobody waits for',
  button: 'Reject a promise',
  says: 'A rejected promise without a catch arrives like any unhandled error.',
  async run(ctx) {
    const word = mark();
    void Promise.reject(new RangeError(`the stock of ${word} is negative`));
    await ctx.arrives(idOf(ctx, word));
  },
};

export const render: Scenario = {
  id: 'render-error',
  group,
  title: 'A React component that breaks',
  button: 'Break a component',
  says: 'The price tag below breaks while rendering; the error boundary shows a fallback and reports it with the component stack.',
  async run(ctx) {
    const word = mark();
    const broken = breakPrice(word);
    await ctx.step('The boundary shows its fallback', () => broken);
    const id = idOf(ctx, word);
    await ctx.arrives(id);
    const sent = await ctx.sent((s) => s.items.some((i) => JSON.stringify(i.payload).includes(word)));
    await ctx.step('The event carries React’s component stack, as its cause', () => {
      if (!JSON.stringify(sent.items).includes('React ErrorBoundary')) throw new Error('it has none');
    });
  },
};

export const burst: Scenario = {
  id: 'error-burst',
  group,
  title: 'The same error, 120 times',
  button: 'Start a storm',
  says: 'A loop throws one error 120 times. Storm control should let the first ones pass, thin out the rest, and count every one of them.',
  async run(ctx) {
    const word = mark();
    const ids = new Set<string>();
    await ctx.step('The loop runs', async () => {
      for (let n = 1; n <= 120; n++) {
        const id = Sentry.captureException(new Error(`item ${n} of the ${word} list cannot be shown`));
        ids.add(id);
        if (n % 10 === 0) await ctx.sent((s) => s.eventID === id); // the SDK holds 64 at once, and drops what is more
      }
    }, () => '120 errors, one cause');
    const mine = () => ctx.lines().filter((l) => l.event_id !== undefined && ids.has(l.event_id) && l.category === 'error');
    await ctx.step('Every one of them has an outcome', async () => {
      for (let i = 0; i < 300 && mine().length < 120; i++) await sleep(200);
      const list = mine();
      if (list.length < 120) throw new Error(`only ${list.length} of 120 were heard of`);
      const accepted = list.filter((l) => l.outcome === 'accepted').length;
      const suppressed = list.filter((l) => l.outcome === 'suppressed').length;
      ctx.fact('accepted', accepted);
      ctx.fact('suppressed', suppressed);
      if (suppressed === 0) throw new Error(`all ${accepted} passed: is storm control off, or its window wide?`);
      return [accepted, suppressed] as const;
    }, ([accepted, suppressed]) => `${accepted} passed on, ${suppressed} only counted`);
  },
};
