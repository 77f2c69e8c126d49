import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { extract, Parser, type ReadEntry } from 'tar';

/** An archive that would reach beyond its folder, or beyond what this host gives it. The message is for people. */
export class UnsafeArchive extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UnsafeArchive';
  }
}

const ARCHIVES = ['application/gzip', 'application/x-gzip', 'application/x-tar', 'application/x-gtar'];
const PLAIN = ['application/octet-stream', 'application/x-executable', 'application/x-sh'];
const MAX_ENTRIES = 100_000;
const TYPES = ['File', 'OldFile', 'ContiguousFile', 'Directory', 'GNUDumpDir'];
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const STRANGE = /[\x00-\x1f\x7f\\]/;

/** How a file of this media type is installed. @throws UnsafeArchive for one that this agent does not know */
export function formatOf(mediaType: string): 'archive' | 'plain' {
  if (ARCHIVES.includes(mediaType)) return 'archive';
  if (PLAIN.includes(mediaType)) return 'plain';
  throw new UnsafeArchive(`files of type ${mediaType} cannot be installed by this agent`);
}

/**
 * Unpacks a tar archive, gzipped or not, into an empty folder. It is read to its end before anything is written: files
 * and folders with plain relative names, each once, and in all at most `maxBytes`; no links, devices or anything else.
 * @throws UnsafeArchive
 */
export async function unpack(archive: string, folder: string, maxBytes: number): Promise<void> {
  await assertSafe(archive, maxBytes);
  await extract({
    file: archive,
    cwd: folder,
    strict: true,
    preserveOwner: false,
    noMtime: true,
    onReadEntry: (entry: ReadEntry) => {
      // For the agent's user alone, and without set-user-id.
      const isProgram = entry.type === 'Directory' || ((entry.mode ?? 0) & 0o100) !== 0;
      entry.mode = isProgram ? 0o700 : 0o600;
    },
  });
}

async function assertSafe(archive: string, maxBytes: number): Promise<void> {
  const seen = new Set<string>();
  let bytes = 0;
  const refuse = (reason: string): never => {
    throw new UnsafeArchive(reason);
  };
  const look = ({ path, type, size }: ReadEntry): void => {
    const name = path.replace(/^(?:\.\/)+/, '').replace(/\/$/, '');
    if (!TYPES.includes(type)) refuse(`the archive holds "${path}", a ${type}`);
    if (STRANGE.test(path) || name.split('/').includes('..') || path.startsWith('/'))
      refuse(`the archive holds "${path}", which is no plain relative name`);
    if (seen.has(name)) refuse(`the archive holds "${path}" twice`);
    seen.add(name);
    bytes += size;
    if (bytes > maxBytes) refuse(`the archive unpacks to more than ${maxBytes} bytes`);
    if (seen.size > MAX_ENTRIES) refuse(`the archive holds more than ${MAX_ENTRIES} files`);
  };
  const parser = new Parser({ strict: true });
  let refusal: Error | null = null;
  parser.on('entry', (entry: ReadEntry) => {
    try {
      if (refusal === null) look(entry);
    } catch (error) {
      refusal = error as Error;
      parser.abort(refusal);
    }
    entry.resume();
  });
  parser.on('ignoredEntry', (entry: ReadEntry) => {
    refusal ??= new UnsafeArchive(`the archive holds "${entry.path}", a ${entry.type}`);
  });
  try {
    await pipeline(createReadStream(archive), parser as unknown as NodeJS.WritableStream);
  } catch (error) {
    throw refusal ?? new UnsafeArchive(`the archive cannot be read: ${(error as Error).message}`);
  }
  if (refusal !== null) throw refusal;
}
