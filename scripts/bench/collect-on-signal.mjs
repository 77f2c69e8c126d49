// Preloaded into measured processes, which run with --expose-gc: memory is compared after garbage has been collected.
process.on('SIGUSR2', () => globalThis.gc?.());
