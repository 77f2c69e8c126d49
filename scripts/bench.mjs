import { isNodeNewEnough } from './lib/node-version.mjs';

// Imported only now: older versions could not even load it.
if (isNodeNewEnough()) void import('./bench/bench.mjs').then(({ bench }) => bench(process.argv.slice(2)));
