import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BUILT_IN_SERVICES } from './built-in-services.js';
import { parseDefinition, type ServiceDefinition } from './service-definition.js';

/** What a service type is on this host. */
export type Resolution =
  | { kind: 'defined'; definition: ServiceDefinition }
  /** Nothing here goes by that name. */
  | { kind: 'unknown' }
  /** There is a definition, and it must not or cannot be followed. */
  | { kind: 'unusable'; reason: string };

/** More than any definition needs. */
const MAX_BYTES = 65_536;
const WRITABLE_BY_OTHERS = 0o022;

/** Knows what can be run on this host: what the agent brings along, and one file for each other service type. */
export class ServiceCatalogue {
  constructor(private readonly directory: string) {}

  /** Reads anew each time, so that what the host's operator changes counts; never rejects. */
  async resolve(serviceType: string): Promise<Resolution> {
    const builtIn = BUILT_IN_SERVICES.get(serviceType);
    if (builtIn !== undefined) return { kind: 'defined', definition: builtIn };
    const path = join(this.directory, `${serviceType}.json`);
    try {
      const text = await this.read(path);
      if (text === null) return { kind: 'unknown' };
      return { kind: 'defined', definition: parseDefinition(JSON.parse(text)) };
    } catch (error) {
      return { kind: 'unusable', reason: `the definition ${path} ${reasonOf(error as Error)}` };
    }
  }

  /** The file's text; null when there is none. @throws Error when it is not to be believed */
  private async read(path: string): Promise<string | null> {
    let file: FileHandle;
    try {
      file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK); // a pipe must not hold the agent up
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
    try {
      const facts = await file.stat();
      if (!facts.isFile()) throw new Error('is no file');
      if (facts.size > MAX_BYTES) throw new Error('is too large');
      assertTrusted(facts);
      assertTrusted(await stat(this.directory), 'is in a folder that');
      return await file.readFile('utf8');
    } finally {
      await file.close();
    }
  }
}

/**
 * Whoever can write a definition can run anything as the agent's user, so nobody but that user and root may.
 * @throws Error
 */
function assertTrusted({ uid, mode }: { uid: number; mode: number }, prefix = ''): void {
  const say = (what: string): Error => new Error(`${prefix} ${what}`.trim());
  if (uid !== 0 && uid !== process.getuid?.())
    throw say(`belongs to user ${uid}, who is neither the agent nor root`);
  if ((mode & WRITABLE_BY_OTHERS) !== 0) throw say('can be written by others (chmod go-w)');
}

function reasonOf(error: Error): string {
  if (error instanceof SyntaxError) return 'is not JSON';
  return (error as NodeJS.ErrnoException).code === undefined
    ? error.message
    : `cannot be read: ${error.message}`;
}
