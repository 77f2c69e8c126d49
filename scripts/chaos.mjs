import { isNodeNewEnough } from './lib/node-version.mjs';

// Imported only now: older versions could not even load it.
if (isNodeNewEnough()) void import('./lib/chaos.mjs').then(({ chaos }) => chaos(process.argv.slice(2)));
