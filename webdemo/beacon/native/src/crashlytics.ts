/**
 * The calls of `@react-native-firebase/crashlytics`, namespaced and modular, made to a Breakwater client: an app changes
 * its import, and calls `start` of this package once. Names, arguments, checks and results are theirs.
 */
import {current} from './index';

/** The module instance of the namespaced API, and the first argument of the modular one. */
export interface Crashlytics {
  /** Whether reports are sent by themselves. */
  readonly isCrashlyticsCollectionEnabled: boolean;
  checkForUnsentReports(): Promise<boolean>;
  crash(): void;
  deleteUnsentReports(): Promise<void>;
  didCrashOnPreviousExecution(): Promise<boolean>;
  log(message: string): void;
  recordError(error: Error, jsErrorName?: string): void;
  sendUnsentReports(): void;
  setAttribute(name: string, value: string): Promise<null>;
  setAttributes(attributes: {[key: string]: string}): Promise<null>;
  setCrashlyticsCollectionEnabled(enabled: boolean): Promise<null>;
  setUserId(userId: string): Promise<null>;
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(`crashlytics: ${what}`);
}

const instance: Crashlytics = {
  get isCrashlyticsCollectionEnabled() {
    return current().collecting();
  },
  checkForUnsentReports() {
    must(!current().collecting(), 'checkForUnsentReports is for disabled collection; now all reports are sent by themselves');
    return current().unsent().then((n) => n > 0);
  },
  crash() {
    current().crash(new Error('Crash by crashlytics().crash()'));
  },
  deleteUnsentReports: () => current().deleteUnsent(),
  didCrashOnPreviousExecution: () => current().crashedLastRun(),
  log(message) {
    current().breadcrumb(message, 'log');
  },
  recordError(error, jsErrorName) {
    if (Object.prototype.toString.call(error) !== '[object Error]' && !(error instanceof Error)) {
      console.warn('crashlytics: recordError takes an instance of Error; anything else is ignored');
      return;
    }
    const {message, stack, cause} = error;
    // The name given counts for the report, the caller's error stays as it is.
    current().capture(jsErrorName ? {name: jsErrorName, message, stack, cause} : error, {handled: true});
  },
  sendUnsentReports() {
    void current().sendUnsent();
  },
  async setAttribute(name, value) {
    must(typeof name === 'string', 'setAttribute: the name must be a string');
    must(typeof value === 'string', 'setAttribute: the value must be a string');
    current().tag(name, value);
    return null;
  },
  async setAttributes(attributes) {
    must(typeof attributes === 'object' && attributes !== null, 'setAttributes: the argument must be an object of strings');
    for (const [name, value] of Object.entries(attributes)) current().tag(name, String(value));
    return null;
  },
  async setCrashlyticsCollectionEnabled(enabled) {
    must(typeof enabled === 'boolean', 'setCrashlyticsCollectionEnabled: the argument must be a boolean');
    await current().collect(enabled);
    return null;
  },
  async setUserId(userId) {
    must(typeof userId === 'string', 'setUserId: the user id must be a string');
    current().user(userId);
    return null;
  },
};

/** `crashlytics()` of the namespaced API. */
export default function crashlytics(): Crashlytics {
  return instance;
}

/** The modular API. An app argument is taken and not needed. */
export function getCrashlytics(_app?: unknown): Crashlytics {
  return instance;
}

export const isCrashlyticsCollectionEnabled = (c: Crashlytics): boolean => c.isCrashlyticsCollectionEnabled;
export const checkForUnsentReports = (c: Crashlytics): Promise<boolean> => c.checkForUnsentReports();
export const deleteUnsentReports = (c: Crashlytics): Promise<void> => c.deleteUnsentReports();
export const didCrashOnPreviousExecution = (c: Crashlytics): Promise<boolean> => c.didCrashOnPreviousExecution();
export const crash = (c: Crashlytics): void => c.crash();
export const log = (c: Crashlytics, message: string): void => c.log(message);
export const recordError = (c: Crashlytics, error: Error, jsErrorName?: string): void => c.recordError(error, jsErrorName);
export const sendUnsentReports = (c: Crashlytics): void => c.sendUnsentReports();
export const setUserId = (c: Crashlytics, userId: string): Promise<null> => c.setUserId(userId);
export const setAttribute = (c: Crashlytics, name: string, value: string): Promise<null> => c.setAttribute(name, value);
export const setAttributes = (c: Crashlytics, attributes: {[key: string]: string}): Promise<null> => c.setAttributes(attributes);
export const setCrashlyticsCollectionEnabled = (c: Crashlytics, enabled: boolean): Promise<null> => c.setCrashlyticsCollectionEnabled(enabled);
