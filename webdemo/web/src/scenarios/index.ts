import type {Scenario} from '../runner';
import {burst, handled, rejection, render, unhandled} from './errors';
import {attachment, badRelease, csp, feedback, offline, pii, replay} from './more';
import {cls, inp, lcp, softNavigation} from './vitals';

/** Every story of the page, in its order. */
export const scenarios: readonly Scenario[] = [
  handled, unhandled, rejection, render, burst,
  lcp, cls, inp, softNavigation,
  replay, feedback,
  offline, attachment,
  pii, csp,
  badRelease,
];
