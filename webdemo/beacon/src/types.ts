/** What `start` needs to know. Only `dsn` is required. */
export interface Options {
  /** The DSN the gateway prints at its start: `https://KEY@host/PROJECT`. */
  dsn: string;
  /** Release of the page, such as `shop@1.4.2`; at most 200 characters. */
  release?: string | undefined;
  /** Environment; the gateway's default is the project's. */
  environment?: string | undefined;
  /**
   * Route template, such as `/product/:id`: of the page as it was loaded, or a function that tells it for a path.
   * `Beacon.route` knows better when a router calls it. Without any the gateway folds the path by its own rules.
   */
  route?: string | ((path: string) => string | undefined) | undefined;
  /** Share of page views that report Web Vitals, 0 to 1; 1 when not given. Decided once per page. */
  sampleRate?: number | undefined;
  /** Share of errors that are reported, 0 to 1; 1 when not given. */
  errorSampleRate?: number | undefined;
  /** Trace of the page view, 32 hex digits; becomes an exemplar of a poor vital. */
  traceId?: string | undefined;
  /** Words for every error report; more with `Beacon.tag`. */
  tags?: Record<string, string> | undefined;
  /** Reports vitals of soft navigations as well, where the browser measures them; false when not given. */
  softNavigations?: boolean | undefined;
  /** Asked before anything is kept or sent; true means nothing is. */
  optOut?: (() => boolean) | undefined;
  /**
   * Also reports for people whose browser says Do Not Track or Global Privacy Control; false when not given, and then
   * nothing of theirs is kept or sent.
   */
  ignorePrivacySignals?: boolean | undefined;
  /** Last look at an error report: return it, changed or not, or null to drop it. One that throws drops it. */
  beforeSend?: ((report: Report) => Report | null) | undefined;
}

/** One exception of a report. Causes stand first, what was thrown last. */
export interface ReportException {
  type: string;
  value: string;
  /** The raw text of `error.stack`; the gateway reads frames from it. */
  stack?: string | undefined;
  handled?: boolean | undefined;
  mechanism?: string | undefined;
}

/** A step on the way to an error. */
export interface Breadcrumb {
  /** Seconds since 1970. */
  timestamp: number;
  category: string;
  message: string;
}

/** Levels of a report. */
export type Level = 'fatal' | 'error' | 'warning' | 'info' | 'debug';

/** What goes to `POST /api/{project}/crash/`, as `/schemas/crash.schema.json` of the gateway says. */
export interface Report {
  /** 32 hex digits: a report that is sent twice counts once. */
  id: string;
  platform: 'javascript';
  /** Seconds since 1970. */
  timestamp: number;
  level: Level;
  release?: string | undefined;
  environment?: string | undefined;
  exceptions: ReportException[];
  breadcrumbs?: Breadcrumb[] | undefined;
  user?: {id: string} | undefined;
  tags: Record<string, string>;
  contexts?: Record<string, Record<string, unknown>> | undefined;
}

/** What is known about a captured error beside the error. */
export interface Hint {
  /** Whether somebody caught it; true when not given. */
  handled?: boolean | undefined;
  /** Who caught it, in Sentry's words, such as `onerror`; `generic` when not given. */
  mechanism?: string | undefined;
  level?: Level | undefined;
  tags?: Record<string, string> | undefined;
  contexts?: Record<string, Record<string, unknown>> | undefined;
}

/** A running client. None of its methods throws. */
export interface Beacon {
  /** Reports an error, or whatever else was thrown. Gives the report's id, '' when it is not sent. */
  capture(error: unknown, hint?: Hint): string;
  /** Keeps a step for later error reports; the newest 30 go with each. */
  breadcrumb(message: string, category?: string): void;
  /** Tells the route template of the page shown now, at every navigation of the router. */
  route(template: string): void;
  /** Who is affected: an id that means nothing to others, or null. */
  user(id: string | null): void;
  /** Adds a word to later error reports; null takes it away. */
  tag(name: string, value: string | null): void;
  /** Sends what is waiting now. */
  flush(): Promise<void>;
  /** true: forgets what is waiting, and keeps and sends nothing until false. */
  optOut(out: boolean): void;
  /** Sends what is waiting, and takes all listeners away. */
  stop(): void;
}
