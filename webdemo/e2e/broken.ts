// Breaks the gateway, one part at a time, and runs the specs that are about that part: each must fail.
//
//   npm run broken            all breakages
//   npm run broken -- scrub   some
//
// Exits with 1 when a spec passes although its part is broken.
import {spawnSync} from 'node:child_process';
import {breakages} from './harness/breakages.ts';

const wanted = process.argv.slice(2);
let blind = 0;
for (const [name, {fails}] of Object.entries(breakages)) {
  if (wanted.length && !wanted.includes(name)) continue;
  for (const title of fails) {
    const run = spawnSync('npx', ['playwright', 'test', '--reporter=line', '--timeout=40000', '-g', `(^|\\s)${title.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}[:,]`], {
      env: {...process.env, BREAK: name},
      encoding: 'utf8',
    });
    const ran = /(\d+) (failed|passed)/.test(run.stdout);
    const noticed = ran && /\d+ failed/.test(run.stdout);
    if (!noticed) blind++;
    console.log(`${noticed ? '✓' : '✗'} ${name}: ${title} ${noticed ? 'fails' : ran ? 'PASSES ALL THE SAME' : `did not run\n${run.stdout}${run.stderr}`}`);
  }
}
if (blind) {
  console.error(`${blind} specs did not notice`);
  process.exit(1);
}
