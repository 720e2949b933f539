// A small shop that uses the client as its README says: React, React Router's matches, an error boundary.
import {useEffect, useState} from 'react';
import {createRoot} from 'react-dom/client';
import {start} from '@breakwater/beacon';
import {ErrorBoundary, useRoute} from '@breakwater/beacon/react';

window.beacon = start({
  dsn: new URL(location.href).searchParams.get('dsn'),
  release: 'shop@1.4.2',
  environment: 'production',
  tags: {team: 'cart'},
  softNavigations: true,
  ignorePrivacySignals: true,
});

const routes = [
  [/^\/product\/\w+$/, [{route: {path: '/product'}}, {route: {path: ':id'}}]],
  [/^\/cart$/, [{route: {path: '/cart'}}]],
];

function Price() {
  throw new Error('no price for this');
}

function Shop() {
  const [path, go] = useState(location.pathname);
  const [broken, breakIt] = useState(false);
  useRoute(routes.find(([pattern]) => pattern.test(path))?.[1]);
  useEffect(() => {
    document.body.dataset.ready = 'yes';
  });
  const cart = () => {
    history.pushState(null, '', '/cart');
    go('/cart');
  };
  const slow = () => {
    for (const until = performance.now() + 250; performance.now() < until; );
  };
  return (
    <main>
      <h1>Anchor, 12 kg: {path}</h1>
      <button id="throw" onClick={() => setTimeout(function payOrder() { throw new TypeError('cart is undefined'); })}>throw</button>
      <button id="reject" onClick={() => void Promise.reject(new RangeError('stock is negative'))}>reject</button>
      <button id="break" onClick={() => breakIt(true)}>break</button>
      <button id="slow" onClick={slow}>slow</button>
      <button id="cart" onClick={cart}>cart</button>
      <ErrorBoundary fallback={<p id="fallback">Something is wrong here.</p>}>{broken ? <Price /> : null}</ErrorBoundary>
    </main>
  );
}

createRoot(document.getElementById('root')).render(<Shop />);
