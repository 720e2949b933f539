import * as Sentry from '@sentry/react-native';
import {useEffect, useState} from 'react';
import {Pressable, Text} from 'react-native';

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
  return <Text>€ 129.90</Text>;
}

function Fallback({order, reset}: {order: Order | undefined; reset: () => void}) {
  useEffect(() => order?.done(), [order]);
  return (
    <Pressable accessibilityRole="button" onPress={reset}>
      <Text>Price on request. Mend it</Text>
    </Pressable>
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
  const mend = (reset: () => void) => () => {
    setOrder(undefined);
    reset();
  };
  return (
    <Sentry.ErrorBoundary key={order?.word ?? ''} fallback={({resetError}) => <Fallback order={order} reset={mend(resetError)} />}>
      <Tag word={order?.word ?? ''} />
    </Sentry.ErrorBoundary>
  );
}
