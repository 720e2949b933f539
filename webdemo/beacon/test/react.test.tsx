import {act} from 'react';
import {createRoot} from 'react-dom/client';
import {expect, test, vi} from 'vitest';
import {ErrorBoundary, templateOf, useRoute, type Matches} from '../src/react';
import {begin, hide, measure, pass, reports, sent} from './harness';

(globalThis as {IS_REACT_ACT_ENVIRONMENT?: boolean}).IS_REACT_ACT_ENVIRONMENT = true;

function render(node: React.ReactNode) {
  const root = createRoot(document.body.appendChild(document.createElement('div')));
  act(() => root.render(node));
  return root;
}

function Price({broken}: {broken: boolean}) {
  if (broken) throw new Error('no price');
  return <b>12.90</b>;
}

test('a broken subtree is reported with its component stack, replaced, and may be tried again', async () => {
  vi.spyOn(console, 'error').mockImplementation(() => {});
  begin();
  const told = vi.fn();
  let again = () => {};
  const tree = (broken: boolean) => (
    <ErrorBoundary onError={told} fallback={({error, reset}) => { again = reset; return <i>{(error as Error).message}</i>; }}>
      <Price broken={broken} />
    </ErrorBoundary>
  );
  const root = render(tree(true));
  expect(document.body.innerHTML).toContain('<i>no price</i>');
  expect(told).toHaveBeenCalledOnce();
  act(() => root.render(tree(false)));
  act(() => again());
  expect(document.body.innerHTML).toContain('<b>12.90</b>');
  await pass(1000);
  expect(reports()).toMatchObject([
    {exceptions: [{value: 'no price', handled: true, mechanism: 'react.errorboundary'}], contexts: {react: {componentStack: expect.stringContaining('Price')}}},
  ]);
  act(() => root.unmount());
});

test('a boundary without a fallback shows nothing and says that nobody handled it', async () => {
  vi.spyOn(console, 'error').mockImplementation(() => {});
  begin();
  const root = render(<p><ErrorBoundary><Price broken /></ErrorBoundary></p>);
  expect(document.querySelector('p')?.innerHTML).toBe('');
  await pass(1000);
  expect(reports()[0].exceptions[0].handled).toBe(false);
  act(() => root.unmount());
});

test('the route of a router', () => {
  begin();
  const Page = ({matches}: {matches: Matches | string | null}) => { useRoute(matches); return null; };
  const root = render(<Page matches={null} />);
  act(() => root.render(<Page matches={[{route: {path: '/'}}, {route: {path: 'product'}}, {route: {}}, {route: {path: ':id'}}]} />));
  measure('LCP', 1);
  history.pushState(null, '', '/cart');
  act(() => root.render(<Page matches="/cart" />));
  measure('CLS', 0, {navigationType: 'soft-navigation', navigationURL: location.href});
  hide();
  expect(sent.map((s) => s.body.route)).toEqual(['/product/:id', '/cart']);
  act(() => root.unmount());
});

test('templates', () => {
  expect(templateOf([])).toBe('');
  expect(templateOf(undefined)).toBe('');
  expect(templateOf([{route: {path: '/'}}])).toBe('/');
  expect(templateOf([{route: {path: '/a/'}}, {route: {path: '*'}}])).toBe('/a/*');
});
