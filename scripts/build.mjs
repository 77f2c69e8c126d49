import { build } from './lib/build.mjs';
import { report } from './lib/run.mjs';
import { withSetupLock } from './lib/setup-lock.mjs';

withSetupLock(build).catch(report);
