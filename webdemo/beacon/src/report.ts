import type {Hint, ReportException} from './types';

export type {Breadcrumb, Hint, Level, ReportException} from './types';

const CAUSES = 3;
const VALUE = 1000;
const STACK = 8000;

/** 16 bytes as 32 hex digits; random ones where none are given. */
export function newID(from: Uint8Array = crypto.getRandomValues(new Uint8Array(16))): string {
  return Array.from(from, (x) => (x | 256).toString(16).slice(1)).join('');
}

/** A text for a value that is no error: strings as they are, others as JSON. */
function text(value: unknown): string {
  try {
    return typeof value === 'object' ? JSON.stringify(value) : `${value as string}`;
  } catch {
    return Object.prototype.toString.call(value); // cycles, getters that throw
  }
}

/**
 * The exceptions of a report: the causes of what was thrown first, at most three in all. Errors of other frames and
 * look-alikes count by their message and name; anything else becomes an `Error`, or an `UnhandledRejection`, with the
 * value as text.
 */
export function exceptions(thrown: unknown, hint: Hint): ReportException[] {
  const list: ReportException[] = [];
  for (let e = thrown, i = 0; i < CAUSES && (!i || e != null); i++) {
    const err = (typeof e === 'object' && e ? e : {}) as {name?: unknown; message?: unknown; stack?: unknown; cause?: unknown};
    const isError = typeof err.message === 'string';
    const {handled = true, mechanism = 'generic'} = hint;
    list.unshift({
      type: text(isError ? err.name : mechanism === 'onunhandledrejection' ? 'UnhandledRejection' : 'Error').slice(0, 250),
      value: text(isError ? err.message : e).slice(0, VALUE),
      stack: typeof err.stack === 'string' ? err.stack.slice(0, STACK) : undefined,
      ...(i ? {} : {handled, mechanism}),
    });
    e = isError ? err.cause : null;
  }
  return list;
}
