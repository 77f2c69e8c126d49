import { mkdir, readdir, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { linkAtomic, readFileIfPresent, TEMPORARY_SUFFIX, writeFileAtomic } from '../atomic-file.js';
import { TLS_FOLDER } from '../state-store.js';

/** The files of one version, by what they hold. `chain` begins with the certificate itself. */
const NAMES = {
  key: 'key.pem',
  certificate: 'certificate.pem',
  chain: 'chain.pem',
  bundle: 'bundle.pem',
  lists: 'crl.pem',
  notes: 'notes.json',
} as const;

/** What a version holds; what is absent has no file. */
export type TrustTexts = Partial<Record<keyof typeof NAMES, string>>;

const CURRENT = 'current';
const REQUEST = 'request.json';
const VERSION = /^v(\d+)$/;

/**
 * The folder `tls` of the state directory. A version is a folder of its own that is never changed, and `current` is a
 * link to the one that counts, replaced in one step: key, certificate, bundle and lists change together or not at all,
 * and a reader who follows the link once has files that fit. The version before stays for readers who are in the middle.
 */
export class TrustFiles {
  private readonly folder: string;

  constructor(stateDirectory: string) {
    this.folder = join(stateDirectory, TLS_FOLDER);
  }

  /** Reads the version that counts. */
  async read(): Promise<TrustTexts> {
    const version = await this.currentVersion();
    if (version === null) return {};
    const texts: TrustTexts = {};
    for (const [what, name] of Object.entries(NAMES)) {
      const text = await readFileIfPresent(join(this.folder, version, name));
      if (text !== null) texts[what as keyof typeof NAMES] = text;
    }
    return texts;
  }

  /** Makes a new version and lets it count; durable when this returns. Only the holder of the lock may call it. */
  async write(texts: TrustTexts): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    const before = await this.currentVersion();
    const numbers = (await readdir(this.folder)).map((name) => Number(VERSION.exec(name)?.[1] ?? 0));
    const version = `v${Math.max(0, ...numbers) + 1}`;
    await mkdir(join(this.folder, version), { mode: 0o700 });
    for (const [what, name] of Object.entries(NAMES)) {
      const text = texts[what as keyof typeof NAMES];
      if (text !== undefined) await writeFileAtomic(join(this.folder, version, name), text);
    }
    await linkAtomic(join(this.folder, CURRENT), version);
    await this.sweep([version, before]);
  }

  /** Removes what a crash left, and versions of long ago. */
  async prepare(): Promise<void> {
    const version = await this.currentVersion();
    const number = Number(VERSION.exec(version ?? '')?.[1] ?? 0);
    await this.sweep([version, `v${number - 1}`]);
  }

  /** What a certificate is being asked for with; null when nothing is. */
  readRequest(): Promise<string | null> {
    return readFileIfPresent(join(this.folder, REQUEST));
  }

  async writeRequest(text: string): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    await writeFileAtomic(join(this.folder, REQUEST), text);
  }

  async removeRequest(): Promise<void> {
    await rm(join(this.folder, REQUEST), { force: true });
  }

  private async currentVersion(): Promise<string | null> {
    try {
      const target = await readlink(join(this.folder, CURRENT));
      return VERSION.test(target) ? target : null;
    } catch (error) {
      if (['ENOENT', 'EINVAL'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
      throw error;
    }
  }

  private async sweep(kept: readonly (string | null)[]): Promise<void> {
    const names = await readdir(this.folder).catch(() => []);
    const gone = names.filter(
      (name) => !kept.includes(name) && (VERSION.test(name) || name.endsWith(TEMPORARY_SUFFIX)),
    );
    await Promise.all(gone.map((name) => rm(join(this.folder, name), { recursive: true, force: true })));
  }
}
