import {useEffect, useMemo, useRef, useState, useSyncExternalStore, type FormEvent, type ReactNode} from 'react';
import type {Line} from './gateway';
import {Price} from './Price';
import {doorWords, nothingYet, run, type Result, type Scenario, type Shared} from './runner';
import {scenarios} from './scenarios';

declare global {
  interface Window {
    /** What tests look at: results by scenario id, and whether the page hears the gateway. */
    demo: {results: Record<string, Result>; listening: boolean; scenarios: string[]};
  }
}

const symbols = {waiting: '…', done: '✓', failed: '✗'} as const;
const words: Record<Result['state'], string> = {idle: 'not tried yet', running: 'running', passed: 'as it should be', failed: 'not as it should be'};

function Card({scenario, shared}: {scenario: Scenario; shared: Shared}) {
  const [result, setResult] = useState(nothingYet);
  const [shown, show] = useState<ReactNode>(null);
  const form = useRef<HTMLFormElement>(null);
  const press = async (event: FormEvent) => {
    event.preventDefault();
    if (result.state === 'running') return;
    const values: Record<string, string> = {};
    if (form.current) for (const [name, value] of new FormData(form.current)) values[name] = String(value);
    show(null);
    const changed = (r: Result) => {
      window.demo.results[scenario.id] = r;
      setResult(r);
    };
    const last = await run(scenario, shared, values, changed, show);
    dispatchEvent(new CustomEvent('demo-result', {detail: {scenario: scenario.id, result: last}}));
  };
  return (
    <article className="card" data-scenario={scenario.id} data-state={result.state} aria-labelledby={`${scenario.id}-title`}>
      <header>
        <h3 id={`${scenario.id}-title`}>{scenario.title}</h3>
        <span className={`state ${result.state}`}>{words[result.state]}</span>
      </header>
      <p id={`${scenario.id}-says`}>{scenario.says}</p>
      <form ref={form} onSubmit={press}>
        {scenario.fields?.map((f) => (
          <label key={f.name}>
            {f.label}
            <input name={f.name} defaultValue={f.value} type={f.type ?? 'text'} autoComplete="off" />
          </label>
        ))}
        {scenario.id === 'render-error' && <p>Anchor, 12 kg: <Price /></p>}
        <button type="submit" aria-describedby={`${scenario.id}-says`} disabled={result.state === 'running'}>{scenario.button}</button>
      </form>
      <ol className="steps" aria-live="polite">
        {result.steps.map((s, i) => (
          <li key={i} className={s.state}>
            <span className="symbol" role="img" aria-label={s.state}>{symbols[s.state]}</span>
            <span>{s.what}{s.detail && <small>{s.detail}</small>}</span>
          </li>
        ))}
      </ol>
      {shown}
    </article>
  );
}

function Door({shared, listening}: {shared: Shared; listening: boolean}) {
  const version = useRef(0);
  useSyncExternalStore(
    useMemo(() => (f: () => void) => {
      let frame = 0;
      shared.door.changed = () => {
        frame ||= requestAnimationFrame(() => {
          frame = 0;
          version.current++;
          f();
        });
      };
      return () => {
        shared.door.changed = () => {};
      };
    }, [shared]),
    () => version.current,
  );
  const lines: readonly (Line & {seenAt: number})[] = shared.door.list().slice(-60).reverse();
  return (
    <aside className="door" aria-labelledby="door-title">
      <h2 id="door-title">At the gateway’s door</h2>
      <p className={listening ? 'listening on' : 'listening'}>{listening ? 'Live: what becomes of each item of this project.' : 'The stream is broken; it is tried again.'}</p>
      <ol tabIndex={0} aria-label="Items, newest first">
        {lines.map((l, i) => (
          <li key={`${l.seenAt}-${lines.length - i}`} className={l.outcome}>
            <time dateTime={l.at}>{l.at.slice(11, 19)}</time> <b>{l.category}</b>{l.quantity !== 1 && ` × ${l.quantity.toLocaleString()}`} <span>{doorWords(l)}</span>
          </li>
        ))}
        {!lines.length && <li>Nothing yet. Press a button.</li>}
      </ol>
    </aside>
  );
}

function ReleaseSwitch({release}: {release: string}) {
  const go = (to: string) => {
    sessionStorage.setItem('release', to);
    location.assign('/demo/');
  };
  return (
    <fieldset className="release" data-release={release}>
      <legend>Release of this page</legend>
      {['shop@1.4.1', 'shop@1.4.2'].map((r) => (
        <label key={r}>
          <input type="radio" name="release" checked={r === release} onChange={() => go(r)} /> {r.split('@')[1]}
          {r.endsWith('2') && <small> (the bad one)</small>}
        </label>
      ))}
    </fieldset>
  );
}

/** The page. */
export function App({shared, listen}: {shared: Shared; listen: (connected: (on: boolean) => void) => () => void}) {
  const [listening, setListening] = useState(false);
  useEffect(
    () =>
      listen((on) => {
        window.demo.listening = on;
        setListening(on);
      }),
    [listen],
  );
  const groups = [...new Set(scenarios.map((s) => s.group))];
  return (
    <>
      <header className="top">
        <div>
          <h1>Breakwater demo</h1>
          <p>
            Each button does something that real pages do. The sentence says what should happen; the list below it shows what did. Project <b>{shared.project.name}</b>,
            DSN <code>{shared.project.dsn}</code>
          </p>
        </div>
        <ReleaseSwitch release={shared.release} />
        <nav aria-label="Elsewhere">
          <a href="/">Console</a> <a href={`/errors?project=${shared.project.name}`}>Errors</a> <a href="/vitals">Vitals</a> <a href="/metrics">Metrics</a>
        </nav>
      </header>
      <div className="columns">
        <main>
          {groups.map((group) => (
            <section key={group} aria-labelledby={`group-${group}`}>
              <h2 id={`group-${group}`}>{group}</h2>
              <div className="cards">
                {scenarios.filter((s) => s.group === group).map((s) => <Card key={s.id} scenario={s} shared={shared} />)}
              </div>
            </section>
          ))}
        </main>
        <Door shared={shared} listening={listening} />
      </div>
    </>
  );
}
