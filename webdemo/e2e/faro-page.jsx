// A shop that uses the stock Faro SDK for React, as its documentation sets it up.
import {createRoot} from 'react-dom/client';
import {useState} from 'react';
import {FaroErrorBoundary, getWebInstrumentations, initializeFaro, ReactIntegration} from '@grafana/faro-react';

const params = new URL(location.href).searchParams;

initializeFaro({
  url: params.get('collector'),
  apiKey: params.get('key'),
  app: {name: 'harbour-shop', version: 'shop@1.4.2', environment: 'production'},
  instrumentations: [...getWebInstrumentations(), new ReactIntegration()],
});

function Price({cart}) {
  return <b>{cart.total.toFixed(2)}</b>; // a cart without a total breaks the tree
}

function payForCart() {
  throw new TypeError('cart is undefined');
}

function Shop() {
  const [open, setOpen] = useState(false);
  return (
    <main>
      <h1>Harbour shop</h1>
      <p>Everything for your berth.</p>
      <button id="pay" onClick={payForCart}>Pay</button>
      <button id="reject" onClick={() => { Promise.reject(new RangeError('no berth left')); }}>Reserve</button>
      <button id="open" onClick={() => setOpen(true)}>Open cart</button>
      <FaroErrorBoundary fallback={<p id="broken">The cart is broken.</p>}>{open && <Price cart={{}} />}</FaroErrorBoundary>
    </main>
  );
}

createRoot(document.getElementById('root')).render(<Shop />);
document.body.dataset.ready = 'yes';
