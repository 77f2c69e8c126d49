import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readTrustedFile } from '../trusted-file.js';
import type { InstalledReleases } from '../updates/installed-releases.js';
import { BUILT_IN_SERVICES } from './built-in-services.js';
import { parseDefinition, type ServiceDefinition } from './service-definition.js';

/** What a service type is on this host. */
export type Resolution =
  | { kind: 'defined'; definition: ServiceDefinition }
  /** It is run from a release of this product, and none is installed yet. */
  | { kind: 'not_installed'; product: string }
  /** Nothing here goes by that name. */
  | { kind: 'unknown' }
  /** There is a definition, and it must not or cannot be followed. */
  | { kind: 'unusable'; reason: string };

/** Knows what can be run on this host: what the agent brings along, and one file for each other service type. */
export class ServiceCatalogue {
  constructor(
    private readonly directory: string,
    private readonly releases: InstalledReleases,
  ) {}

  /** Reads anew each time, so that what the host's operator changes counts; never rejects. */
  async resolve(serviceType: string): Promise<Resolution> {
    const builtIn = BUILT_IN_SERVICES.get(serviceType);
    if (builtIn !== undefined) return { kind: 'defined', definition: builtIn };
    try {
      const definition = await this.read(serviceType);
      return definition === null ? { kind: 'unknown' } : await this.installed(definition);
    } catch (error) {
      return { kind: 'unusable', reason: (error as Error).message };
    }
  }

  /** The one service of this host that is run from releases of `product`. @throws Error when there is none, or several */
  async serviceOf(product: string): Promise<{ serviceType: string; definition: ServiceDefinition }> {
    const names = await readdir(this.directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    const types = names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -5));
    const found: { serviceType: string; definition: ServiceDefinition }[] = [];
    for (const serviceType of types) {
      // What another product's service is written like is not this one's matter.
      const definition = await this.read(serviceType).catch(() => null);
      if (definition?.product === product) found.push({ serviceType, definition });
    }
    const [one, ...more] = found;
    if (one === undefined)
      throw new Error(
        `no service of this host is run from ${product}: name it as "product" in a file of ${this.directory}`,
      );
    if (more.length > 0) throw new Error(`more than one service of this host is run from ${product}`);
    return one;
  }

  /** What the host says of a service, as it wrote it. @throws Error when there is nothing usable */
  async definitionOf(serviceType: string): Promise<ServiceDefinition> {
    const definition = await this.read(serviceType);
    if (definition === null) throw new Error(`this host has no service ${serviceType} any more`);
    return definition;
  }

  /** A definition as the host wrote it. @throws Error that says what is wrong with it */
  private async read(serviceType: string): Promise<ServiceDefinition | null> {
    const path = join(this.directory, `${serviceType}.json`);
    try {
      const text = await readTrustedFile(path);
      return text === null ? null : parseDefinition(JSON.parse(text));
    } catch (error) {
      throw new Error(`the definition ${path} ${reasonOf(error as Error)}`, { cause: error });
    }
  }

  /** Paths in a release become those of the installed one: another version is another launch. */
  private async installed(definition: ServiceDefinition): Promise<Resolution> {
    const { product, command, cwd, env } = definition;
    if (product === null) return { kind: 'defined', definition };
    const release = await this.releases.current(product);
    if (release === null) return { kind: 'not_installed', product };
    const [program = '', ...args] = command;
    const path = this.releases.pathOf(product, release);
    const made = {
      ...definition,
      command: [program.startsWith('/') ? program : join(path, program), ...args],
      cwd: cwd ?? path,
      env: { ...env, RAP_RELEASE_DIR: path },
      version: release.version,
    };
    return { kind: 'defined', definition: made };
  }
}

function reasonOf(error: Error): string {
  if (error instanceof SyntaxError) return 'is not JSON';
  return (error as NodeJS.ErrnoException).code === undefined
    ? error.message
    : `cannot be read: ${error.message}`;
}
