import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import type { ArtifactPlace } from '../../common/config/config.js';
import { unavailable } from '../../common/errors/domain-error.js';
import type { ArtifactStore, ContentId } from './artifact-store.js';
import type { ByteRange } from './byte-range.js';

type S3Place = Extract<ArtifactPlace, { kind: 's3' }>;

const silence = (): void => undefined;
/** The SDK writes to the console; what it has to say comes as an error, and into our log. */
const QUIET = { debug: silence, info: silence, warn: silence, error: silence };

/** The SDK takes a while to load, and most installations never need it. */
const sdk = () => import('@aws-sdk/client-s3');

/**
 * Keeps artifacts in a bucket of S3 or what speaks like it. One call puts a whole object or none; region and credentials
 * come the ways that the SDK knows (`AWS_REGION`, `AWS_ACCESS_KEY_ID`, roles of the machine and so on).
 */
export class S3Store implements ArtifactStore {
  private client: Promise<S3Client> | null = null;

  constructor(private readonly location: S3Place) {}

  async place(path: string, { sha256, size }: ContentId): Promise<void> {
    const { PutObjectCommand } = await sdk();
    const client = await this.connect();
    const object = new PutObjectCommand({
      ...this.keyOf(sha256),
      Body: createReadStream(path),
      ContentLength: size,
      // The service at the other end holds the bytes against it once more.
      ChecksumSHA256: Buffer.from(sha256, 'hex').toString('base64'),
    });
    await client.send(object).catch(tell);
    await rm(path, { force: true });
  }

  async open({ sha256 }: ContentId, range: ByteRange | null): Promise<Readable> {
    const { GetObjectCommand } = await sdk();
    const client = await this.connect();
    const wanted = range === null ? {} : { Range: `bytes=${range.start}-${range.end}` };
    const { Body } = await client
      .send(new GetObjectCommand({ ...this.keyOf(sha256), ...wanted }))
      .catch(tell);
    return Body as Readable;
  }

  async remove(sha256: string): Promise<void> {
    const { DeleteObjectCommand } = await sdk();
    const client = await this.connect();
    await client.send(new DeleteObjectCommand(this.keyOf(sha256))).catch(tell);
  }

  async onModuleDestroy(): Promise<void> {
    (await this.client)?.destroy();
  }

  private connect(): Promise<S3Client> {
    this.client ??= sdk().then(({ S3Client }) => {
      const { endpoint } = this.location;
      // Others than Amazon seldom have a host name for each bucket, and do not all know its newer checksums.
      const elsewhere = endpoint === null ? {} : { endpoint, forcePathStyle: true };
      return new S3Client({
        ...elsewhere,
        logger: QUIET,
        requestChecksumCalculation: 'WHEN_REQUIRED',
        responseChecksumValidation: 'WHEN_REQUIRED',
      });
    });
    return this.client;
  }

  private keyOf(sha256: string): { Bucket: string; Key: string } {
    const { bucket, prefix } = this.location;
    return { Bucket: bucket, Key: [prefix, 'sha256', sha256].filter((part) => part !== '').join('/') };
  }
}

/** Whatever the bucket refuses is nothing that the caller can mend; the log says what it was. */
function tell(cause: unknown): never {
  throw unavailable('unavailable', 'The store of artifacts does not answer, or does not have this file.', {
    cause,
    reason: String(cause),
  });
}
