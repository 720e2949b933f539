import * as Sentry from '@sentry/react';
import {useEffect, useState} from 'react';

type Order = {word: string; done: () => void};
let take: ((order: Order) => void) | undefined;

/** Breaks the price tag while it renders; resolves when the boundary has shown its fallback. */
export function breakPrice(word: string): Promise<void> {
  return new Promise((done, failed) => {
    if (take) take({word, done});
    else failed(new Error('there is no price tag'));
  });
}

function Tag({word}: {word: string}) {
  if (word) throw new Error(`the price of ${word} is not a number`);
  return <output className="price">€ 129.90</output>;
}

function Fallback({order, reset}: {order: Order | undefined; reset: () => void}) {
  useEffect(() => order?.done(), [order]);
  return (
    <span className="price broken" role="alert">
      Price on request <button type="button" className="small" onClick={reset}>Mend it</button>
    </span>
  );
}

/** A price tag that can be broken, inside Sentry's own error boundary. */
export function Price() {
  const [order, setOrder] = useState<Order>();
  useEffect(() => {
    take = setOrder;
    return () => {
      take = undefined;
    };
  }, []);
  return (
    <Sentry.ErrorBoundary key={order?.word} fallback={({resetError}) => <Fallback order={order} reset={() => { setOrder(undefined); resetError(); }} />}>
      <Tag word={order?.word ?? ''} />
    </Sentry.ErrorBoundary>
  );
}
