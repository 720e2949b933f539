import {vi} from 'vitest';
import type {Metric} from 'web-vitals';

type Callbacks = Map<string, {report: (m: Metric) => void; opts: unknown}>;

/** Callbacks that the client gave to web-vitals, by metric. */
export const vitals: Callbacks = ((globalThis as {callbacks?: Callbacks}).callbacks = new Map());

vi.mock('web-vitals', () => {
  const all = (globalThis as unknown as {callbacks: Callbacks}).callbacks;
  const on = (name: string) => (report: (m: Metric) => void, opts: unknown) => void all.set(name, {report, opts});
  return {onCLS: on('CLS'), onFCP: on('FCP'), onINP: on('INP'), onLCP: on('LCP'), onTTFB: on('TTFB')};
});
