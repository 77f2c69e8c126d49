import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** More than any file of the host's operator needs. */
const MAX_BYTES = 65_536;
const WRITABLE_BY_OTHERS = 0o022;

/**
 * The text of a file by which the host says what may run on it; null when there is none. Whoever can write it, or
 * its folder, can run anything as the agent's user, so nobody but that user and root may.
 * @throws Error when the file is not to be believed, or cannot be read
 */
export async function readTrustedFile(path: string): Promise<string | null> {
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
    assertTrusted(await stat(dirname(path)), 'is in a folder that');
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

function assertTrusted({ uid, mode }: { uid: number; mode: number }, prefix = ''): void {
  const say = (what: string): Error => new Error(`${prefix} ${what}`.trim());
  if (uid !== 0 && uid !== process.getuid?.())
    throw say(`belongs to user ${uid}, who is neither the agent nor root`);
  if ((mode & WRITABLE_BY_OTHERS) !== 0) throw say('can be written by others (chmod go-w)');
}
