import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { generate, isGenerated } from './build.mjs';
import { install, isInstalled } from './install.mjs';
import { inRoot } from './project.mjs';
import { report, runNode } from './run.mjs';
import { withSetupLock } from './setup-lock.mjs';

/** Installs and generates what is missing, then runs the tests. */
export async function test(args) {
  try {
    if (!isInstalled() || !isGenerated()) {
      await withSetupLock(async () => {
        if (!isInstalled()) await install();
        if (!isGenerated()) generate();
      });
    }
    if (!isOnPath('redis-server')) {
      console.log('redis-server is not on the PATH: the tests that need a Redis are skipped.');
    }
    const flags = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
    process.exitCode = await runNode(
      [...flags, inRoot('node_modules/jest/bin/jest.js'), ...args],
      environment(),
    );
  } catch (error) {
    report(error);
  }
}

/** Without the settings of an installation: tests have databases and addresses of their own. */
function environment() {
  const settings = /^(DATABASE_URL|REDIS_URL|HOST|PORT|LOG_LEVEL|PG[A-Z]+|OIDC_.*|FABRIC_(?!TEST_).*)$/;
  const kept = Object.entries(process.env).filter(([name]) => !settings.test(name));
  return { ...Object.fromEntries(kept), NODE_ENV: 'test' };
}

function isOnPath(program) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)));
}
