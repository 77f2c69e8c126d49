import { isNodeNewEnough } from './lib/node-version.mjs';

// Imported only now: older versions could not even load it.
if (isNodeNewEnough()) {
  void import('./lib/openapi.mjs').then(({ writeDocument, checkDocument }) =>
    process.argv.includes('--check') ? checkDocument() : writeDocument(),
  );
}
