// Breaks the gateway, one part at a time, and runs the specs that are about that part: each must fail.
//
//   npm run broken            all breakages
//   npm run broken -- scrub   some
//
// Exits with 1 when a spec passes although its part is broken, or was not found.
import {spawnSync} from 'node:child_process';
import {breakages} from './harness/breakages.ts';

interface Suite {
  suites?: Suite[];
  specs?: {title: string; ok: boolean}[];
}
const specs = (s: Suite): {title: string; ok: boolean}[] => [...(s.specs ?? []), ...(s.suites ?? []).flatMap(specs)];

const wanted = process.argv.slice(2);
let blind = 0;
for (const [name, {fails}] of Object.entries(breakages)) {
  if (wanted.length && !wanted.includes(name)) continue;
  const quoted = fails.map((f) => f.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const run = spawnSync('npx', ['playwright', 'test', '--reporter=json', '--timeout=25000', '-g', ` (${quoted.join('|')})[ :,]`], {
    env: {...process.env, BREAK: name},
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  const found = specs(JSON.parse(run.stdout.slice(run.stdout.indexOf('{'))) as Suite);
  for (const title of fails) {
    const its = found.filter((s) => s.title.startsWith(title));
    const noticed = its.length > 0 && its.every((s) => !s.ok);
    if (!noticed) blind++;
    console.log(`${noticed ? '✓' : '✗'} ${name}: ${title} ${noticed ? 'fails' : its.length ? 'PASSES ALL THE SAME' : 'was not found'}`);
  }
}
if (blind) {
  console.error(`${blind} specs did not notice`);
  process.exit(1);
}
