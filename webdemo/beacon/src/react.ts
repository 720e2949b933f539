import {Component, useEffect, type ErrorInfo, type ReactNode} from 'react';
import {current, type Beacon} from '@breakwater/beacon';

/** Properties of `ErrorBoundary`. */
export interface ErrorBoundaryProps {
  children?: ReactNode;
  /** What is shown instead of a broken subtree; a function gets the error and a way to try again. */
  fallback?: ReactNode | ((broken: {error: unknown; reset: () => void}) => ReactNode);
  /** Told after the report. */
  onError?: (error: unknown, info: ErrorInfo) => void;
  /** The client; the one that `start` made last when not given. */
  beacon?: Beacon;
}

/** Reports what its children throw while rendering, with React's component stack, and shows a fallback. */
export class ErrorBoundary extends Component<ErrorBoundaryProps, {broken: {error: unknown} | null}> {
  override state: {broken: {error: unknown} | null} = {broken: null};

  static getDerivedStateFromError(error: unknown): {broken: {error: unknown}} {
    return {broken: {error}};
  }

  override componentDidCatch(error: unknown, info: ErrorInfo): void {
    (this.props.beacon ?? current()).capture(error, {
      handled: this.props.fallback !== undefined,
      mechanism: 'react.errorboundary',
      contexts: {react: {componentStack: (info.componentStack ?? '').slice(0, 4000)}},
    });
    this.props.onError?.(error, info);
  }

  override render(): ReactNode {
    const {broken} = this.state;
    if (!broken) return this.props.children;
    const {fallback} = this.props;
    return typeof fallback === 'function' ? fallback({error: broken.error, reset: () => this.setState({broken: null})}) : fallback;
  }
}

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
