import {useEffect} from 'react';
import {current, type Beacon} from '@breakwater/beacon';
import {boundaryOf} from './boundary';

export type {ErrorBoundaryProps} from './boundary';

/** Reports what its children throw while rendering, with React's component stack, and shows a fallback. */
export const ErrorBoundary = boundaryOf(current);

/** What React Router's `matchRoutes` gives, as far as it is read here. */
export type Matches = readonly {route: {path?: string | undefined}}[];

/** The route template of matches: `/product` and `:id` become `/product/:id`; '' when nothing matched. */
export function templateOf(matches: Matches | null | undefined): string {
  if (!matches?.length) return '';
  const parts = matches.map((m) => m.route.path ?? '').filter(Boolean);
  return '/' + parts.join('/').split('/').filter(Boolean).join('/');
}

/**
 * Tells the client which route is shown: a template, or React Router's matches, as in
 * `useRoute(matchRoutes(routes, useLocation()))`. Nothing is told while there is none.
 */
export function useRoute(route: string | Matches | null | undefined, beacon?: Beacon): void {
  const template = typeof route === 'string' ? route : templateOf(route);
  useEffect(() => {
    if (template) (beacon ?? current()).route(template);
  }, [template, beacon]);
}
