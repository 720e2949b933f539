import type {Breadcrumb, Hint, Level, ReportException} from '@breakwater/beacon/report';

/** Where the queue rests: `@react-native-async-storage/async-storage`, or anything of its shape. */
export interface Storage {
  getItem(key: string): Promise<string | null>;
  setItem(key: string, value: string): Promise<unknown>;
  removeItem(key: string): Promise<unknown>;
}

/** React Native's `promise/setimmediate/rejection-tracking`, which apps on JavaScriptCore need; Hermes has its own. */
export interface RejectionTracking {
  enable(options: {
    allRejections?: boolean;
    onUnhandled?: (id: number, error: unknown) => void;
    onHandled?: (id: number) => void;
  }): void;
}

/** What `start` needs to know. Only `dsn` is required. */
export interface Options {
  /** The DSN the gateway prints at its start: `https://KEY@host/PROJECT`. */
  dsn: string;
  /** Keeps reports until the gateway has them. Without it they live as long as the process. */
  storage?: Storage | undefined;
  /** Release of the app, such as `com.example.shop@1.4.2+45`; at most 200 characters. */
  release?: string | undefined;
  /** Build of the release; at most 64 characters. */
  dist?: string | undefined;
  environment?: string | undefined;
  /** Words for every report; more with `Beacon.tag`. */
  tags?: Record<string, string> | undefined;
  /** Beside what React Native knows of the device. */
  device?: Record<string, string | number | boolean> | undefined;
  /** Whether anything is sent before `collect` was ever called; true when not given. */
  collect?: boolean | undefined;
  /** Share of errors that are reported, 0 to 1; 1 when not given. Crashes always are. */
  errorSampleRate?: number | undefined;
  /** Share of app starts that are measured, 0 to 1; 1 when not given. */
  sampleRate?: number | undefined;
  /**
   * When the process began, milliseconds since 1970, from a native module. Without it React Native is asked, which
   * knows where the platform told it (`ReactMarker.setAppStartTime`); where nobody knows, no start is measured.
   */
  processStart?: number | undefined;
  rejectionTracking?: RejectionTracking | undefined;
  /** Last look at a report: return it, changed or not, or null to drop it. One that throws drops it. */
  beforeSend?: ((report: Report) => Report | null) | undefined;
  /** Bounds of the queue: 32 reports, 524,288 bytes, 30 days when not given. */
  maxEntries?: number | undefined;
  maxBytes?: number | undefined;
  maxAge?: number | undefined;
  /** Milliseconds that a crash waits at most for its report to be stored; 2,000 when not given. */
  crashTimeout?: number | undefined;
}

/** What goes to `POST /api/{project}/crash/`. */
export interface Report {
  /** 32 hex digits: a report that is sent twice counts once. */
  id: string;
  platform: 'react-native';
  /** Seconds since 1970. */
  timestamp: number;
  level: Level;
  release?: string | undefined;
  dist?: string | undefined;
  environment?: string | undefined;
  exceptions: ReportException[];
  breadcrumbs?: Breadcrumb[] | undefined;
  user?: {id: string} | undefined;
  tags: Record<string, string>;
  contexts?: Record<string, Record<string, unknown>> | undefined;
  device?: Record<string, unknown> | undefined;
}

/** What a phone measures, as the gateway names it; milliseconds, counts for `frames_*` and `stall_count`. */
export type Vital =
  | 'app_start_cold' | 'app_start_warm' | 'app_start_hot' | 'ttid' | 'ttfd'
  | 'frames_slow' | 'frames_frozen' | 'frames_total' | 'stall_count' | 'stall_longest';

/** A running client. None of its methods throws or rejects. */
export interface Beacon {
  /** Reports an error, or whatever else was thrown. Gives the report's id, '' when there is none. */
  capture(error: unknown, hint?: Hint): string;
  /** Reports a crash as React Native's own handler does: the app ends afterwards, as it would without us. */
  crash(error: unknown): void;
  /** Keeps a step for later reports; the newest 64 go with each. */
  breadcrumb(message: string, category?: string): void;
  /** Tells the screen shown now, at every navigation. */
  route(name: string): void;
  user(id: string | null): void;
  /** Adds a word to later reports; null takes it away. Values beyond 200 characters go to the context `attributes`. */
  tag(name: string, value: string | null): void;
  /** Tells that the first screen is there: measures the app's start, once. */
  appStarted(kind?: 'cold' | 'warm' | 'hot'): void;
  /** Sends one measurement. */
  vital(name: Vital, value: number, route?: string): void;
  /** Sends what is waiting now, if collecting. */
  flush(): Promise<void>;
  /** Whether the last run of the app ended by a crash that was seen here. */
  crashedLastRun(): Promise<boolean>;
  /** Reports that are stored and not taken by the gateway yet. */
  unsent(): Promise<number>;
  /** Sends what is stored, collecting or not. */
  sendUnsent(): Promise<void>;
  /** Forgets what is stored. */
  deleteUnsent(): Promise<void>;
  /** false: keeps reports, sends none. Remembered by the storage. */
  collect(on: boolean): Promise<void>;
  /** Whether reports are sent by themselves. What the storage remembers counts from the moment it was read. */
  collecting(): boolean;
  /** Gives React Native its handlers back. Stored reports stay. */
  stop(): void;
}
