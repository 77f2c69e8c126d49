import { isNodeNewEnough } from './lib/node-version.mjs';

// Imported only now: older versions could not even load it.
if (isNodeNewEnough()) void import('./lib/tests.mjs').then(({ test }) => test(process.argv.slice(2)));
