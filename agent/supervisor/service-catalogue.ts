import { join } from 'node:path';
import { readTrustedFile } from '../trusted-file.js';
import { BUILT_IN_SERVICES } from './built-in-services.js';
import { parseDefinition, type ServiceDefinition } from './service-definition.js';

/** What a service type is on this host. */
export type Resolution =
  | { kind: 'defined'; definition: ServiceDefinition }
  /** Nothing here goes by that name. */
  | { kind: 'unknown' }
  /** There is a definition, and it must not or cannot be followed. */
  | { kind: 'unusable'; reason: string };

/** Knows what can be run on this host: what the agent brings along, and one file for each other service type. */
export class ServiceCatalogue {
  constructor(private readonly directory: string) {}

  /** Reads anew each time, so that what the host's operator changes counts; never rejects. */
  async resolve(serviceType: string): Promise<Resolution> {
    const builtIn = BUILT_IN_SERVICES.get(serviceType);
    if (builtIn !== undefined) return { kind: 'defined', definition: builtIn };
    const path = join(this.directory, `${serviceType}.json`);
    try {
      const text = await readTrustedFile(path);
      if (text === null) return { kind: 'unknown' };
      return { kind: 'defined', definition: parseDefinition(JSON.parse(text)) };
    } catch (error) {
      return { kind: 'unusable', reason: `the definition ${path} ${reasonOf(error as Error)}` };
    }
  }
}

function reasonOf(error: Error): string {
  if (error instanceof SyntaxError) return 'is not JSON';
  return (error as NodeJS.ErrnoException).code === undefined
    ? error.message
    : `cannot be read: ${error.message}`;
}
