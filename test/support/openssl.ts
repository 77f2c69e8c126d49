import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** What a test wants in a certificate request beside the key. */
export interface CsrInput {
  key?: 'ed25519' | 'p256' | 'p384' | 'rsa' | { pem: string };
  subject?: string;
  /** Requested extensions, as `openssl req -addext` takes them. */
  extensions?: string[];
}

/** A folder in which the real openssl works. */
export class OpenSsl {
  private constructor(private readonly folder: string) {}

  static async open(): Promise<OpenSsl> {
    return new OpenSsl(await mkdtemp(join(tmpdir(), 'fabric-openssl-')));
  }

  close(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }

  /** Runs openssl. @returns what it says, whether or not it succeeds */
  async run(...args: string[]): Promise<{ ok: boolean; text: string }> {
    try {
      const { stdout, stderr } = await execute('openssl', args, { cwd: this.folder });
      return { ok: true, text: stdout + stderr };
    } catch (error) {
      const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
      return { ok: false, text: stdout + stderr };
    }
  }

  /** A file with this content; returns its name. */
  async file(content: string | Uint8Array, extension = 'pem'): Promise<string> {
    const name = `${randomUUID()}.${extension}`;
    await writeFile(join(this.folder, name), content);
    return name;
  }

  /** A certificate request over a new key, as PEM. */
  async csr({ key = 'ed25519', subject = '/CN=whatever', extensions = [] }: CsrInput = {}): Promise<string> {
    const keyFile = typeof key === 'string' ? await this.newKey(key) : await this.file(key.pem);
    const added = extensions.flatMap((extension) => ['-addext', extension]);
    const { ok, text } = await this.run('req', '-new', '-key', keyFile, '-subj', subject, ...added);
    if (!ok) throw new Error(text);
    return text;
  }

  /** What `openssl verify` says of a certificate. */
  async verify(
    certificate: string,
    bundle: string,
    ...more: string[]
  ): Promise<{ ok: boolean; text: string }> {
    const [leaf, roots] = [await this.file(certificate), await this.file(bundle)];
    return this.run('verify', '-x509_strict', ...more, '-CAfile', roots, leaf);
  }

  /** The same, with a revocation list in DER. */
  async verifyWithCrl(
    certificate: string,
    bundle: string,
    crl: Uint8Array,
    ...more: string[]
  ): Promise<{ ok: boolean; text: string }> {
    const pem = await this.run('crl', '-inform', 'DER', '-in', await this.file(crl, 'der'));
    return this.verify(certificate, bundle, '-crl_check', '-CRLfile', await this.file(pem.text), ...more);
  }

  /** A certificate in words. */
  async show(certificate: string): Promise<string> {
    return (await this.run('x509', '-in', await this.file(certificate), '-noout', '-text')).text;
  }

  private async newKey(kind: 'ed25519' | 'p256' | 'p384' | 'rsa'): Promise<string> {
    const name = `${randomUUID()}.key`;
    const curve = (of: string) => ['-algorithm', 'EC', '-pkeyopt', `ec_paramgen_curve:${of}`];
    const how = {
      ed25519: ['-algorithm', 'ed25519'],
      p256: curve('P-256'),
      p384: curve('P-384'),
      rsa: ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
    };
    const { ok, text } = await this.run('genpkey', ...how[kind], '-out', name);
    if (!ok) throw new Error(text);
    return name;
  }
}

/** A certificate request in PEM with one bit of it changed, counted from the end; at 60 one of its key. */
export function spoiled(pem: string, fromEnd = 3): string {
  const body = Buffer.from(pem.replace(/-----[A-Z ]+-----/g, ''), 'base64');
  const at = fromEnd === 60 ? body.indexOf(Buffer.from('2b6570032100', 'hex')) + 10 : body.length - fromEnd;
  body[at] = (body[at] ?? 0) ^ 1;
  const lines = body.toString('base64').replace(/.{64}/g, '$&\n');
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines}\n-----END CERTIFICATE REQUEST-----\n`;
}
