import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { packAgent } from './lib/agent-package.mjs';
import { build, isBuilt } from './lib/build.mjs';
import { inRoot, readText } from './lib/project.mjs';
import { report } from './lib/run.mjs';
import { withSetupLock } from './lib/setup-lock.mjs';

const OPTIONS = { out: { type: 'string' }, version: { type: 'string' } };

async function main() {
  const { values } = parseArgs({ options: OPTIONS });
  const { version: ofProject } = JSON.parse(readText(inRoot('package.json')));
  const { out = 'dist/packages', version = ofProject } = values;
  await withSetupLock(async () => {
    if (!isBuilt()) await build();
  });
  console.log(await packAgent({ out: resolve(out), version }));
}

main().catch(report);
