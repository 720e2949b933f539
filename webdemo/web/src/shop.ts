// The little shop that the page opens in a frame: a page of its own, with its own Web Vitals. It says what it does to
// the page around it.
import {start} from '@breakwater/beacon';
import './style.css';

const query = new URLSearchParams(location.search);
const scene = query.get('scene') ?? '';
const dsn = query.get('dsn') ?? '';
const release = query.get('release') ?? '';

const say = (word: string) => parent.postMessage({shop: word}, location.origin);
const wait = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));
const painted = () => new Promise<void>((done) => requestAnimationFrame(() => setTimeout(done, 100)));

const shop = document.getElementById('shop')!;
shop.innerHTML = `
  <h1>Harbour shop</h1>
  <p>Anchors, ropes and lanterns since 1889.</p>
  <ul class="goods"><li>Anchor, 12 kg</li><li>Rope, 50 m</li><li>Lantern, brass</li><li>Barrel, oak</li></ul>
  <button type="button" id="pay" disabled>Pay</button>`;
const pay = document.querySelector<HTMLButtonElement>('#pay')!;
pay.addEventListener('click', () => {
  for (const until = performance.now() + 650; performance.now() < until; );
  shop.querySelector('p')!.textContent = 'Paid. Thank you!';
  void painted().then(() => wait(300)).then(() => say('paid'));
});

async function play(): Promise<void> {
  if (scene === 'visit') return visit();
  start({dsn, release, environment: 'demo', route: `/demo/shop/${scene}`, ignorePrivacySignals: true});
  await painted();
  pay.disabled = false;
  say('ready');
  if (scene === 'slow-lcp') {
    await wait(4200);
    const hero = document.createElement('h2');
    hero.className = 'hero';
    hero.textContent = 'Everything for the harbour, and for those who never leave it';
    shop.prepend(hero);
    await painted();
    await wait(400);
    say('painted');
  } else if (scene === 'layout-jump') {
    await wait(700);
    const banner = document.createElement('p');
    banner.className = 'banner';
    banner.textContent = 'Free delivery this week, to every quay!';
    shop.prepend(banner);
    await painted();
    await wait(1200); // a session of shifts ends after a second
    say('jumped');
  }
}

/** A visitor with the stock SDK; in release 1.4.2 every second one crashes. */
async function visit(): Promise<void> {
  const Sentry = await import('@sentry/react');
  Sentry.init({dsn, release, environment: 'demo'});
  Sentry.setUser({id: `visitor-${query.get('visitor')}-${Math.random().toString(36).slice(2)}`});
  say('ready');
  await painted();
  if (release.endsWith('1.4.2') && Number(query.get('visitor')) % 2 === 0) {
    setTimeout(function priceOf() {
      throw new TypeError("Cannot read properties of undefined (reading 'price')");
    });
    await wait(50);
  }
  await Sentry.flush(5000);
  await wait(50);
  say('gone');
}

void play();
