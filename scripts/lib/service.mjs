import { pathToFileURL } from 'node:url';
import { build, isBuilt } from './build.mjs';
import { install, isInstalled } from './install.mjs';
import { inRoot } from './project.mjs';
import { report } from './run.mjs';
import { withSetupLock } from './setup-lock.mjs';

/** Installs and builds what is missing; touches nothing when nothing is. */
export async function setUp() {
  if (isInstalled() && isBuilt()) return;
  await withSetupLock(async () => {
    if (!isInstalled()) await install();
    if (!isBuilt()) await build();
  });
}

/**
 * Sets up, and then becomes the service: in this very process, so that signals, kill -9 and exit codes mean
 * what they would mean to `node dist/src/main.js`, and no parent can outlive it or end before it.
 */
export async function start() {
  try {
    await setUp();
  } catch (error) {
    report(error);
    return;
  }
  const main = inRoot('dist', 'src', 'main.js');
  process.argv[1] = main;
  process.setSourceMapsEnabled(true);
  await import(pathToFileURL(main).href);
}
