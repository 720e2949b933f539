import {Component, type ErrorInfo, type ReactNode} from 'react';
import type {Hint} from './types';

/** Whatever takes errors: both clients do. */
export interface Capturer {
  capture(error: unknown, hint?: Hint): unknown;
}

/** Properties of `ErrorBoundary`. */
export interface ErrorBoundaryProps {
  children?: ReactNode;
  /** What is shown instead of a broken subtree; a function gets the error and a way to try again. */
  fallback?: ReactNode | ((broken: {error: unknown; reset: () => void}) => ReactNode);
  /** Told after the report. */
  onError?: (error: unknown, info: ErrorInfo) => void;
  /** The client; the one that `start` made last when not given. */
  beacon?: Capturer;
}

/** State of `ErrorBoundary`. */
export interface BoundaryState {
  broken: {error: unknown} | null;
}

/** Makes the boundary of a client; `current` gives the one that was started last. */
export function boundaryOf(current: () => Capturer): new (props: ErrorBoundaryProps) => Component<ErrorBoundaryProps, BoundaryState> {
  return class ErrorBoundary extends Component<ErrorBoundaryProps, BoundaryState> {
    override state: BoundaryState = {broken: null};

    static getDerivedStateFromError(error: unknown): BoundaryState {
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
  };
}
