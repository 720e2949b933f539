import type {RejectionTracking} from './types';

/** React Native's global, from `@react-native/js-polyfills`. */
export interface ErrorUtils {
  getGlobalHandler(): (error: unknown, isFatal?: boolean) => void;
  setGlobalHandler(handler: (error: unknown, isFatal?: boolean) => void): void;
}

interface Globals {
  ErrorUtils?: ErrorUtils;
  HermesInternal?: {
    hasPromise?: () => boolean;
    enablePromiseRejectionTracker?: RejectionTracking['enable'];
  } | null;
  __DEV__?: boolean;
}

const globals = globalThis as Globals;

/**
 * Puts a handler before the one that React Native, or whoever came first, has set: `seen` is told, then the previous
 * handler. A crash waits for what `seen` gives, because the previous handler ends the process. Gives a function that
 * takes the handler away, unless another was put before it meanwhile.
 */
export function handleErrors(seen: (error: unknown, fatal: boolean) => Promise<void>): () => void {
  const utils = globals.ErrorUtils;
  if (!utils) return () => {};
  const previous = utils.getGlobalHandler();
  let active = true;
  const handler = (error: unknown, isFatal?: boolean) => {
    if (!active) return previous(error, isFatal);
    const stored = seen(error, isFatal === true);
    if (isFatal) void stored.then(() => previous(error, isFatal));
    else previous(error, isFatal);
  };
  utils.setGlobalHandler(handler);
  return () => {
    active = false;
    if (utils.getGlobalHandler() === handler) utils.setGlobalHandler(previous);
  };
}

/**
 * Listens for promises that reject and are not handled within the engine's grace (0.1 s for programming mistakes, 2 s
 * for the rest). Hermes tracks its own promises; for others the tracker of React Native's polyfill must be given.
 * There is one tracker, so in development this one takes over from React Native's, and warns in its stead. Gives a
 * function that ends it.
 */
export function trackRejections(tracking: RejectionTracking | undefined, unhandled: (error: unknown) => void): () => void {
  let active = true;
  const options = {
    allRejections: true,
    onUnhandled: (id: number, error: unknown) => {
      if (!active) return;
      if (globals.__DEV__) console.warn(`Unhandled promise rejection (id ${id}):`, error);
      unhandled(error);
    },
    onHandled: () => {},
  };
  const hermes = globals.HermesInternal;
  if (hermes?.hasPromise?.() && hermes.enablePromiseRejectionTracker) hermes.enablePromiseRejectionTracker(options);
  else tracking?.enable(options);
  return () => {
    active = false;
  };
}
