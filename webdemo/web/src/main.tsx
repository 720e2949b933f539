import {createRoot} from 'react-dom/client';
import {App} from './App';
import {config, tail, type Line} from './gateway';
import {Log, watchRequests, type Shared} from './runner';
import {scenarios} from './scenarios';
import {startTelemetry} from './telemetry';
import './style.css';

const root = createRoot(document.getElementById('root')!);
window.demo = {results: {}, listening: false, scenarios: scenarios.map((s) => s.id)};

async function begin(): Promise<void> {
  const cfg = await config();
  const wanted = new URLSearchParams(location.search).get('project');
  const project = cfg.projects.find((p) => p.name === wanted || p.id === wanted) ?? cfg.projects[0];
  if (!project) throw new Error('the gateway has no project with a key');
  const release = sessionStorage.getItem('release') ?? 'shop@1.4.1';
  const requests = watchRequests();
  // Telemetry before anything that could break.
  const beacon = startTelemetry(project.dsn, release);
  const door = new Log<Line & {seenAt: number}>();
  const shared: Shared = {beacon, config: cfg, project, release, door, requests};
  const listen = (connected: (on: boolean) => void) => tail(project.name, (l) => door.add({...l, seenAt: Date.now()}), connected);
  root.render(<App shared={shared} listen={listen} />);
}

begin().catch((error: unknown) => {
  root.render(
    <main className="alone" role="alert">
      <h1>The demo cannot start</h1>
      <p>{error instanceof Error ? error.message : String(error)}</p>
      <p>It is served by a gateway’s private listener, at /demo/, and needs it.</p>
    </main>,
  );
});
