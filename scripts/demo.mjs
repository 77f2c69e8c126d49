import { isNodeNewEnough } from './lib/node-version.mjs';

// Imported only now: older versions could not even load it.
if (isNodeNewEnough()) void import('./lib/demo.mjs').then(({ demo }) => demo());
