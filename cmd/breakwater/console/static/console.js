// Keeps the live part of a page up to date while somebody looks at it. Pages
// read the same without this script.
'use strict';
(() => {
  const state = document.getElementById('live-state');
  const part = document.getElementById('live');
  if (!state || !part || !window.EventSource) return;

  const text = document.createElement('span');
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'quiet';
  state.replaceChildren(text, button);

  let source = null;
  let paused = false;
  let frames = 0;

  const say = (words, label) => {
    text.textContent = words;
    button.textContent = label;
  };

  // morph makes one node like another and keeps what need not change: where
  // the focus is, what is selected, how far a table is scrolled.
  const morph = (have, want) => {
    if (have.nodeType !== want.nodeType || have.nodeName !== want.nodeName || (have.id || '') !== (want.id || '')) {
      have.replaceWith(want.cloneNode(true));
      return;
    }
    if (have.nodeType !== Node.ELEMENT_NODE) {
      if (have.nodeValue !== want.nodeValue) {
        have.nodeValue = want.nodeValue;
        if (have.parentElement && have.parentElement.nodeName === 'DD') flash(have.parentElement);
      }
      return;
    }
    for (const {name} of [...have.attributes]) if (!want.hasAttribute(name) && name !== 'class') have.removeAttribute(name);
    for (const {name, value} of [...want.attributes]) if (have.getAttribute(name) !== value) have.setAttribute(name, value);
    if (!want.hasAttribute('class')) have.removeAttribute('class');
    const wanted = [...want.childNodes];
    wanted.forEach((child, i) => {
      const mine = have.childNodes[i];
      if (mine) morph(mine, child);
      else have.append(child.cloneNode(true));
    });
    while (have.childNodes.length > wanted.length) have.lastChild.remove();
  };

  const flash = (element) => {
    element.classList.remove('changed');
    void element.offsetWidth;
    element.classList.add('changed');
  };

  const show = (html) => {
    const doc = new DOMParser().parseFromString('<div id="live">' + html + '</div>', 'text/html');
    const wanted = doc.getElementById('live');
    if (wanted) morph(part, document.importNode(wanted, true));
  };

  const open = () => {
    if (source || paused || document.hidden) return;
    say('Connecting…', 'Pause updates');
    source = new EventSource(state.dataset.live);
    source.addEventListener('open', () => say('Live', 'Pause updates'));
    source.addEventListener('frame', (event) => {
      show(event.data);
      part.dataset.frames = String(++frames);
      say('Live', 'Pause updates');
    });
    source.addEventListener('error', () => {
      if (source && source.readyState === EventSource.CLOSED) {
        close();
        say('Not live: reload the page', 'Try again');
        paused = true;
      } else {
        say('Connection lost, trying again…', 'Pause updates');
      }
    });
  };

  const close = () => {
    if (source) source.close();
    source = null;
  };

  button.addEventListener('click', () => {
    paused = !paused;
    if (paused) {
      close();
      say('Updates are paused', 'Resume updates');
    } else {
      open();
    }
  });
  // Nobody looks at a hidden tab, and nobody pays for it.
  document.addEventListener('visibilitychange', () => (document.hidden ? close() : open()));
  window.addEventListener('pagehide', close);
  window.addEventListener('pageshow', open);
  open();
})();
