import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { SourceTextModule } from 'node:vm';
import { hostModule } from './host-modules.mjs';

/** The TypeScript modules of one test file: each is evaluated anew for it, in the realm in which Node itself runs. */
export class SourceModules {
  #compile;
  #globals;
  #modules = new Map();
  /** Ends with what was linked last: only one graph is linked at a time, so that none is half linked by another. */
  #linked = Promise.resolve();

  /**
   * @param compile  gives the JavaScript of a file
   * @param globals  gives the module that a file gets as `@jest/globals`
   */
  constructor({ compile, globals }) {
    this.#compile = compile;
    this.#globals = globals;
  }

  /** Imports a source by its path. */
  import(path) {
    return this.#run(this.#source(path));
  }

  clear() {
    this.#modules.clear();
  }

  async #run(module) {
    const linked = this.#linked.then(() => {
      if (module.status !== 'unlinked') return undefined;
      return module.link((specifier, { identifier }) => this.#find(specifier, identifier));
    });
    this.#linked = linked.catch(() => undefined);
    await linked;
    await module.evaluate();
    return module;
  }

  #find(specifier, from) {
    if (specifier === '@jest/globals') return this.#globals(from);
    const isPath = specifier.startsWith('.') || specifier.startsWith('file:');
    if (!isPath) return hostModule(specifier);
    const path = specifier.startsWith('.')
      ? resolve(dirname(from), specifier)
      : fileURLToPath(new URL(specifier));
    // Imports name the compiled file; the source lies beside where that would be.
    const source = path.replace(/\.js$/, '.ts');
    if (source.endsWith('.ts') && existsSync(source)) return this.#source(source);
    return hostModule(pathToFileURL(path).href);
  }

  #source(path) {
    let module = this.#modules.get(path);
    if (module === undefined) {
      module = new SourceTextModule(this.#compile(path), {
        identifier: path,
        initializeImportMeta: (meta) => {
          meta.url = pathToFileURL(path).href;
          meta.filename = path;
          meta.dirname = dirname(path);
        },
        importModuleDynamically: async (specifier) => this.#run(await this.#find(specifier, path)),
      });
      this.#modules.set(path, module);
    }
    return module;
  }
}
