import { z } from 'zod';
import { ARCHITECTURES, OPERATING_SYSTEMS } from '../nodes/host-system.js';
import { isRange, isVersion } from './semantic-version.js';

const MAX_MIGRATIONS = 64;
const PROVENANCE_LIMIT = 65_536;

/** A file name that is one on every system, and a path on none: no separator, no `..`, no device of Windows. */
const FILE_NAME =
  /^(?!(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$))(?!.*\.\.)[A-Za-z0-9](?:[A-Za-z0-9._+-]{0,198}[A-Za-z0-9_+-])?$/i;
const MEDIA_TYPE = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,62}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$/;
const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;

export const ProductName = z
  .string()
  .regex(NAME, 'Must be 1 to 63 of a-z 0-9 . _ - and begin and end with a letter or digit.')
  .meta({ example: 'rap-node-agent' });
export const Version = z
  .string()
  .refine(isVersion, 'Must be a version of SemVer 2.0.0, such as 1.4.0 or 2.0.0-rc.1.')
  .meta({ example: '1.4.0' });
export const Os = z.enum(OPERATING_SYSTEMS);
export const Arch = z.enum(ARCHITECTURES);
export const Sha256 = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'Must be SHA-256 in lower-case hexadecimal.')
  .meta({ example: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad' });
const Size = z.int().min(0).describe('In bytes.').meta({ example: 18_874_368 });
const Text = z
  .string()
  .min(1)
  .max(1000)
  .regex(/^[^\p{Cc}]*$/u, 'No control characters.');
const VersionRange = z.string().refine(isRange, 'Must be a range of versions, such as ">=1.2.0 <2.0.0".');

const Artifact = z.strictObject({
  os: Os,
  arch: Arch,
  sha256: Sha256,
  size: Size,
  mediaType: z
    .string()
    .regex(MEDIA_TYPE, 'Must be a media type in lower case, without parameters.')
    .meta({ example: 'application/gzip' }),
  fileName: z
    .string()
    .regex(FILE_NAME, 'Must be a plain file name of A-Z a-z 0-9 . _ + - that is one on every system.')
    .meta({ example: 'rap-node-agent-1.4.0-linux-x64.tar.gz' }),
});

const Compatibility = z.strictObject({
  minAgentVersion: Version.optional().describe('The oldest agent that can install it.'),
  fromVersions: z
    .union([VersionRange, z.array(VersionRange).min(1).max(32)])
    .optional()
    .describe('From which versions a node may go to it in one step; absent: from all.')
    .meta({ example: '>=1.2.0' }),
});

/** A step, several, or settings of one, by names that the bundle knows: kept and handed on. */
const InWordsOfTheBundle = z
  .union([Text, z.array(Text).max(32), z.record(z.string().max(200), z.json())])
  .nullable();

const Migration = z.strictObject({
  id: z
    .string()
    .regex(NAME, 'Must be 1 to 63 of a-z 0-9 . _ - and begin and end with a letter or digit.')
    .meta({ example: 'state-3' }),
  target: z
    .string()
    .regex(/^[a-z][a-z0-9._-]{0,62}$/, 'Must be a name such as node-local.')
    .describe('Whose data it changes.')
    .meta({ example: 'node-local' }),
  sourceVersion: Text.max(128).describe('Version of the data that it starts from.').meta({ example: '2' }),
  targetVersion: Text.max(128).describe('Version of the data that it leads to.').meta({ example: '3' }),
  preflight: InWordsOfTheBundle.describe('What must hold before it runs.').meta({ example: ['free-space'] }),
  backupRequired: z.boolean(),
  rollback: InWordsOfTheBundle.describe('How it is undone.').meta({ example: 'restore-backup' }),
  downgradePossible: z.boolean().describe('Whether a node that has run it may go back to an older version.'),
  bundle: z.strictObject({ sha256: Sha256, size: Size }),
});

/**
 * What the payload of an envelope must be: nothing missing, nothing that is not known. It is read once its signatures
 * are verified, and kept as it came; nobody writes it again from this.
 */
export const ReleaseManifest = z
  .strictObject({
    schema: z.literal('rap.release_manifest.v1'),
    product: ProductName,
    version: Version,
    artifacts: z
      .array(Artifact)
      .min(1)
      .max(OPERATING_SYSTEMS.length * ARCHITECTURES.length),
    compatibility: Compatibility.default({}),
    migrations: z.array(Migration).max(MAX_MIGRATIONS).default([]),
    provenance: z
      .record(z.string().max(200), z.json())
      .refine((value) => JSON.stringify(value).length <= PROVENANCE_LIMIT, 'At most 64 KiB of JSON.')
      .optional()
      .describe('Where it was built and from what, such as a statement of SLSA; kept and not read.')
      .meta({ example: { builder: 'https://ci.example.com', commit: '4f1c2d0' } }),
    notes: z.string().max(20_000).optional(),
  })
  .superRefine(({ artifacts, migrations }, context) => {
    once(
      artifacts.map(({ os, arch }) => `${os}/${arch}`),
      (index, value) =>
        context.addIssue({
          code: 'custom',
          path: ['artifacts', index],
          message: `A second artifact for ${value}.`,
        }),
    );
    once(
      migrations.map(({ id }) => id),
      (index, value) =>
        context.addIssue({
          code: 'custom',
          path: ['migrations', index, 'id'],
          message: `A second ${value}.`,
        }),
    );
  })
  .meta({ id: 'ReleaseManifest' });
export type ReleaseManifest = z.infer<typeof ReleaseManifest>;

function once(values: readonly string[], tell: (index: number, value: string) => void): void {
  for (const [index, value] of values.entries()) if (values.indexOf(value) < index) tell(index, value);
}
