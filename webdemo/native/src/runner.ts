import {onSent, type Running, type Sent} from './telemetry';

export type State = 'idle' | 'running' | 'passed' | 'failed';

/** One thing that should happen, and whether it did. */
export interface Step {
  what: string;
  state: 'waiting' | 'done' | 'failed';
  detail: string;
}

/** What became of a scenario. */
export interface Result {
  state: State;
  steps: Step[];
}

export const nothingYet: Result = {state: 'idle', steps: []};

/** What a scenario works with. */
export interface Context extends Running {
  step<T>(what: string, work: () => Promise<T> | T, tell?: (got: T) => string): Promise<T>;
  /** Waits until the SDK was answered about an event. */
  arrives(id: string): Promise<void>;
  /** Waits until what the small client keeps was taken by the gateway. */
  taken(): Promise<void>;
}

/** One story: a labelled button and a sentence that says what should happen. */
export interface Scenario {
  id: string;
  title: string;
  button: string;
  says: string;
  /** Needs the native SDK, and so a phone or an emulator. */
  phone?: boolean;
  run(ctx: Context): Promise<void>;
}

export const sleep = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

/** Runs a scenario; `changed` gets the result at every change. Never rejects. */
export async function run(scenario: Scenario, running: Running, changed: (result: Result) => void): Promise<Result> {
  const result: Result = {state: 'running', steps: []};
  const tell = () => changed({...result, steps: result.steps.map((s) => ({...s}))});
  const seen: Sent[] = [];
  const end = onSent((s) => seen.push(s));
  const ctx: Context = {
    ...running,
    async step(what, work, words) {
      const step: Step = {what, state: 'waiting', detail: ''};
      result.steps.push(step);
      tell();
      try {
        const got = await work();
        step.state = 'done';
        step.detail = words?.(got) ?? '';
        return got;
      } catch (error) {
        step.state = 'failed';
        step.detail = error instanceof Error ? error.message : String(error);
        throw error;
      } finally {
        tell();
      }
    },
    arrives: (id) => ctx.step('The SDK sends it', async () => {
      for (let i = 0; i < 600; i++) {
        const sent = seen.find((s) => s.id === id);
        if (sent && sent.status !== undefined && sent.status !== 200) throw new Error(`the gateway answered ${sent.status}`);
        if (sent) return sent;
        await sleep(100);
      }
      throw new Error('no answer within a minute');
    }, (sent) => (sent.status === 200 ? 'answered 200: it is on disk' : 'handed to the native SDK')).then(() => {}),
    taken: () => ctx.step('The gateway takes it', async () => {
      for (let i = 0; i < 100; i++) {
        await running.beacon.flush();
        if ((await running.beacon.unsent()) === 0) return;
        await sleep(200);
      }
      throw new Error('it still waits on this phone');
    }),
  };
  try {
    tell();
    await scenario.run(ctx);
    result.state = 'passed';
  } catch (error) {
    result.state = 'failed';
    if (!result.steps.some((s) => s.state === 'failed')) {
      result.steps.push({what: 'Something went wrong', state: 'failed', detail: error instanceof Error ? error.message : String(error)});
    }
  } finally {
    end();
  }
  tell();
  return result;
}
