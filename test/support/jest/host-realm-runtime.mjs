import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import JestRuntime from 'jest-runtime';
import { moduleOf } from './host-modules.mjs';
import { SourceModules } from './source-modules.mjs';

const AS_ES_MODULE = {
  supportsDynamicImport: true,
  supportsExportNamespaceFrom: true,
  supportsStaticESM: true,
  supportsTopLevelAwait: true,
};

/** By path: what a worker has compiled, for as long as the source stays as it was. */
const compiled = new Map();

/**
 * Loads a test file and the sources that it imports, without a realm of its own: dependencies are loaded by Node, once
 * for a worker, and sources are evaluated anew for each test file.
 */
export default class HostRealmRuntime extends JestRuntime {
  #sourceMaps = new Map();
  #sources;

  constructor(config, environment, resolver, transformer, cache, coverage, ...rest) {
    super(config, environment, resolver, transformer, cache, coverage, ...rest);
    this.#sources = new SourceModules({
      compile: (path) => {
        const source = readFileSync(path, 'utf8');
        let entry = compiled.get(path);
        if (entry?.source !== source) {
          entry = { source, ...transformer.transform(path, { ...coverage, ...AS_ES_MODULE }, source) };
          compiled.set(path, entry);
        }
        if (entry.sourceMapPath) this.#sourceMaps.set(path, entry.sourceMapPath);
        return entry.code;
      },
      globals: (from) => moduleOf('@jest/globals', this.requireModuleOrMock(from, '@jest/globals')),
    });
  }

  async unstable_importModule(path) {
    return this.#sources.import(path);
  }

  /** The part of the test framework that holds the state of one test file: it is evaluated anew as well. */
  requireInternalModule(path) {
    const require = createRequire(path);
    delete require.cache[path];
    return require(path);
  }

  getSourceMaps() {
    return this.#sourceMaps;
  }

  teardown() {
    this.#sources.clear();
    super.teardown();
  }
}
