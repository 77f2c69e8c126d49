import { randomUUID } from 'node:crypto';
import { chmod, copyFile, mkdir, readdir, readlink, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { linkAtomic, syncFolder, syncTree, TEMPORARY_SUFFIX } from '../atomic-file.js';
import { type ContentId, isVersionName } from './release-manifest.js';
import { formatOf, unpack } from './unpack.js';

/** A version as it is installed: its folder bears the beginning of its file's digest. */
export interface Installed {
  version: string;
  folder: string;
}

const VERSIONS = 'versions';
const CURRENT = 'current';
/** What a plain file is called once it is installed, so that the definition of the service need not change. */
export const PLAIN_PROGRAM = 'program';
const FOLDER = /^([0-9A-Za-z.+-]{1,128})_[0-9a-f]{16}$/;

/** The release of this version and file. */
export function installedAs(version: string, { sha256 }: ContentId): Installed {
  return { version, folder: `${version}_${sha256.slice(0, 16)}` };
}

/**
 * Releases of this host, in `<product>/versions/<version>_<digest>`: folders that are there only when they are whole and
 * then never change. `<product>/current` is a link to the one that counts, replaced in one step.
 */
export class InstalledReleases {
  constructor(private readonly directory: string) {}

  /** What `current` leads to; null: nothing is installed. */
  async current(product: string): Promise<Installed | null> {
    try {
      const folder = (await readlink(this.link(product))).replace(`${VERSIONS}/`, '');
      const version = FOLDER.exec(folder)?.[1];
      return version !== undefined && isVersionName(version) ? { version, folder } : null;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  }

  /** Where its files are. */
  pathOf(product: string, { folder }: Installed): string {
    return join(this.directory, product, VERSIONS, folder);
  }

  async has(product: string, release: Installed): Promise<boolean> {
    return stat(this.pathOf(product, release)).then(
      () => true,
      () => false,
    );
  }

  /**
   * Unpacks a verified file; durable and whole when it resolves.
   * @throws UnsafeArchive when the file must not be unpacked
   */
  async stage(
    product: string,
    release: Installed,
    file: { path: string; mediaType: string; maxBytes: number },
  ): Promise<void> {
    if (await this.has(product, release)) return;
    const format = formatOf(file.mediaType);
    const versions = join(this.directory, product, VERSIONS);
    await mkdir(versions, { recursive: true, mode: 0o700 });
    const draft = join(versions, `.${release.folder}.${randomUUID()}${TEMPORARY_SUFFIX}`);
    try {
      await mkdir(draft, { mode: 0o700 });
      if (format === 'archive') await unpack(file.path, draft, file.maxBytes);
      else {
        await copyFile(file.path, join(draft, PLAIN_PROGRAM));
        await chmod(join(draft, PLAIN_PROGRAM), 0o700);
      }
      await syncTree(draft);
      await rename(draft, this.pathOf(product, release));
      await syncFolder(versions);
    } finally {
      await rm(draft, { recursive: true, force: true }); // gone already where it was renamed
    }
  }

  /** Lets `release` count from now on; null: none. In one step, and durable. */
  async switchTo(product: string, release: Installed | null): Promise<void> {
    if (release !== null) return linkAtomic(this.link(product), join(VERSIONS, release.folder));
    await rm(this.link(product), { force: true });
    await syncFolder(join(this.directory, product));
  }

  /** Removes every version but these and the one that counts, and what a crash left. */
  async keepOnly(product: string, kept: readonly (Installed | null)[]): Promise<void> {
    const current = await this.current(product);
    const folders = new Set([current, ...kept].map((release) => release?.folder));
    const parent = join(this.directory, product);
    const isLeftover = (name: string): boolean => name.startsWith('.') && name.endsWith(TEMPORARY_SUFFIX);
    for (const name of await readdir(parent).catch(() => []))
      if (isLeftover(name)) await rm(join(parent, name), { force: true });
    const versions = join(parent, VERSIONS);
    for (const name of await readdir(versions).catch(() => []))
      if (!folders.has(name)) await rm(join(versions, name), { recursive: true, force: true });
  }

  private link(product: string): string {
    return join(this.directory, product, CURRENT);
  }
}
