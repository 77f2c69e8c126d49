import { SyntheticModule } from 'node:vm';

/** By specifier: the modules of Node and of dependencies, which one worker loads once for all its test files. */
const loaded = new Map();

/** What Node itself loads under this specifier, as a module that others may be linked with. */
export function hostModule(specifier) {
  let module = loaded.get(specifier);
  if (module === undefined) {
    module = import(specifier).then((namespace) => moduleOf(specifier, namespace));
    loaded.set(specifier, module);
  }
  return module;
}

/** A module that exports the members of an object. */
export async function moduleOf(identifier, members) {
  const names = Object.keys(members);
  const module = new SyntheticModule(
    names,
    () => {
      for (const name of names) module.setExport(name, members[name]);
    },
    { identifier },
  );
  // Newer versions of Node have nothing to link here.
  if (module.status === 'unlinked') await module.link(() => undefined);
  await module.evaluate();
  return module;
}
