import { availableParallelism } from 'node:os';

/** Most databases and services that one run has up at a time, however many cores there are. */
const MOST_WORKERS = 4;

/**
 * Jest runs the TypeScript sources as native ES modules, in the realm of its worker (ADR 0082); swc keeps the decorator
 * metadata that Nest needs.
 */
export default {
  rootDir: '.',
  testEnvironment: '<rootDir>/test/support/jest/host-realm-environment.mjs',
  runtime: '<rootDir>/test/support/jest/host-realm-runtime.mjs',
  testMatch: ['<rootDir>/src/**/*.spec.ts', '<rootDir>/agent/**/*.spec.ts', '<rootDir>/test/**/*.spec.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
          keepClassNames: true,
        },
        module: { type: 'es6' },
      },
    ],
  },
  globalSetup: '<rootDir>/test/support/global-setup.mjs',
  globalTeardown: '<rootDir>/test/support/global-teardown.mjs',
  // A worker waits for its Postgres, for processes that start, or for time to pass, half of the time: two for each core.
  maxWorkers: Math.min(MOST_WORKERS, 2 * availableParallelism()),
  // Modules of files that are done stay in a worker's heap; one that has grown is replaced between two files.
  workerIdleMemoryLimit: '1.5GB',
  // Giving such a heap back alone may take more than the 500 ms of Jest's default on a busy machine (550 ms for 1.2 GB);
  // whoever takes longer than this has left something open.
  workerGracefulExitTimeout: 10_000,
  // What a test waits for comes at once on a quiet machine; a busy one, with real processes, may need very long.
  testTimeout: 180_000,
};
