// The gateway with one part broken, by configuration. `npm run broken` holds each spec to its word: it must fail when the
// part of the gateway that it is about does not work.
import type {Upstream} from './gateway.ts';

export interface Breakage {
  /** The specs, by a piece of their title, that must fail with it. */
  fails: string[];
  top?: string;
  project?: string;
  storm?: string;
  vitals?: string;
  upstreams?: (good: Upstream[]) => Upstream[];
}

export const breakages: Record<string, Breakage> = {
  // Nothing listens at the upstream: reports are kept, and none leaves.
  upstream: {
    fails: ['handled-error', 'unhandled-error', 'promise-rejection', 'render-error', 'user-feedback', 'big-attachment', 'replay', 'offline', 'upstream down', 'kill -9', 'tunnel', 'release switch', 'Firefox'],
    upstreams: () => [{name: 'recorder', dsn: 'http://0123456789abcdef0123456789abcdef@127.0.0.1:9/5'}],
  },
  storm: {fails: ['error-burst'], storm: '{first: 100000, then_one_in: 1}'},
  scrub: {fails: ['pii'], top: 'scrub: {defaults: false, ip: false}'},
  opaque: {fails: ['big-attachment'], top: 'scrub: {opaque: drop}'},
  replays: {fails: ['replay'], project: '    sampling: {replay: 0}\n'},
  csp: {fails: ['csp-violation'], project: '    filters: {csp_disallowed: ["tracker.example"]}\n'},
  transactions: {fails: ['soft-navigation'], project: '    sampling: {transaction: 0}\n' + '    limits: {per_key: {rate: 500/s, burst: 2000}, categories: {span: {rate: 1/h, burst: 1}}}\n'},
  vitals: {fails: ['slow-lcp', 'layout-jump', 'slow-interaction'], vitals: '{settle: 2s, settle_max: 20s, count_bots: false}'},
  origins: {fails: ['CORS', 'bad-release', 'a phone'], project: '    allowed_origins: ["https://elsewhere.example"]\n'},
};
