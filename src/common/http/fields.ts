import { z } from 'zod';
import { readAddressRange } from '../net/address-range.js';

/** Schemas of members that many resources have, so that they read and refuse alike everywhere. */

const LABEL_KEY = /^[A-Za-z0-9]([A-Za-z0-9._/-]{0,98}[A-Za-z0-9])?$/;

/** A UUID; ids that this service makes are UUIDv7. */
export const Id = z.uuid().meta({ description: 'UUIDv7.', example: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21' });

/** An instant in UTC, RFC 3339 with milliseconds. */
export const Instant = z.iso.datetime({ precision: 3 }).meta({ example: '2026-11-23T08:00:00.000Z' });

/** An instant in a request: any precision and offset that RFC 3339 allows. */
export const InstantInput = z.iso.datetime({ offset: true }).meta({ example: '2026-11-23T08:00:00.000Z' });

/** One that is kept, and answered as it is written here: what lies beyond that in UTC no client could read. */
export const KeptInstantInput = InstantInput.refine((text) => {
  const year = new Date(text).getUTCFullYear();
  // What is no instant at all is refused as that.
  return Number.isNaN(year) || (year >= 1 && year <= 9999);
}, 'Must lie in the years 1 to 9999 of UTC.');

/** Labels: up to 64 short texts by name. */
export const Labels = z
  .record(z.string().regex(LABEL_KEY, 'A label name is 1 to 100 of A-Z a-z 0-9 . _ / -'), z.string().max(255))
  .refine((labels) => Object.keys(labels).length <= 64, 'At most 64 labels.')
  .meta({ description: 'Up to 64 texts by name.', example: { site: 'msk' } });

/** Labels in a merge patch: null removes. */
export const LabelsPatch = z
  .record(
    z.string().regex(LABEL_KEY, 'A label name is 1 to 100 of A-Z a-z 0-9 . _ / -'),
    z.string().max(255).nullable(),
  )
  .refine((labels) => Object.keys(labels).length <= 64, 'At most 64 labels.')
  .meta({ description: 'Merged into the labels; null removes one.', example: { site: 'spb', ring: null } });

/** Largest metadata, as JSON text. */
const METADATA_LIMIT = 16_384;

/** Free JSON that the service keeps and does not read. */
export const Metadata = z
  .record(z.string().max(200), z.json())
  .refine((metadata) => JSON.stringify(metadata).length <= METADATA_LIMIT, 'At most 16 KiB of JSON.')
  .meta({
    description: 'Free JSON that the service keeps and does not read, up to 16 KiB.',
    example: { ticket: 'OPS-17' },
  });

/** A name for people: one line, no control characters, no space at its ends. */
export const DisplayName = z
  .string()
  .min(1)
  .max(200)
  .regex(/^\P{C}+$/u, 'No control characters.')
  .refine((name) => name.trim() === name, 'No space at the beginning or the end.')
  .meta({ example: 'Moscow edge' });

/** Why somebody did it; stands in the audit log. */
export const Reason = z
  .string()
  .min(1)
  .max(500)
  .regex(/^[^\p{Cc}]*$/u, 'No control characters.')
  .meta({ example: 'Host was decommissioned.' });

/** Name of a node, unique among the unrevoked members of its cluster. */
export const NodeName = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,63}$/, 'A node name is 1 to 63 of A-Z a-z 0-9 . _ -')
  .meta({ example: 'edge-1' });

/** A range of IP addresses in CIDR notation, without bits beyond its prefix. */
export const AddressRangeText = z
  .string()
  .max(49)
  .superRefine((text, context) => {
    const range = readAddressRange(text);
    if ('fault' in range) context.addIssue({ code: 'custom', message: range.fault });
  })
  .meta({ description: 'CIDR notation.', example: '192.0.2.0/24' });

/** Who did something. */
export const ActorRef = z.object({
  type: z.string().meta({ example: 'bootstrap' }),
  id: z.string().nullable().meta({ example: 'bootstrap' }),
});
