import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { MasterKeyring } from '../crypto/envelope.js';
import { canonicalJson } from '../json/canonical-json.js';
import { CursorCodec, type CursorValues } from './cursor.js';

const MAX_LIMIT = 200;
const DEFAULT_LIMIT = '50';

/** The paging parameters that every list takes; extend it with the filters of the list. */
export const PageQuery = z.strictObject({
  limit: z
    .string()
    .regex(/^\d{1,3}$/, 'Must be a number from 1 to 200.')
    .default(DEFAULT_LIMIT)
    .transform(Number)
    .refine((limit) => limit >= 1 && limit <= MAX_LIMIT, 'Must be a number from 1 to 200.')
    .meta({
      description: 'Items a page.',
      jsonSchema: { type: 'integer', minimum: 1, maximum: MAX_LIMIT, default: Number(DEFAULT_LIMIT) },
    }),
  cursor: z.string().max(2048).optional().meta({ description: '`nextCursor` of the page before.' }),
});

/** One page of a list. */
export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}

/** The schema of a page of `item`. */
export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({
    items: z.array(item),
    nextCursor: z.string().nullable().meta({
      description: 'Send it as `cursor` for the next page; null on the last one.',
      example: null,
    }),
  });
}

/** A list that is being paged: its kind, and everything that shapes it beside the page size. */
export interface PagedList {
  kind: string;
  filters: unknown;
  limit: number;
  cursor: string | undefined;
}

/** Keyset paging: a page ends where its last item stands, and the next one starts after it. Never an offset. */
@Injectable()
export class Paging {
  private readonly codec: CursorCodec;

  constructor(keyring: MasterKeyring) {
    this.codec = new CursorCodec(keyring.purposeKey('cursor'));
  }

  /** The sort key after which the page starts; null for the first page. @throws malformed `invalid_cursor` */
  after(list: PagedList): CursorValues | null {
    return list.cursor === undefined ? null : this.codec.decode(list.kind, digest(list.filters), list.cursor);
  }

  /** Makes the page of `rows`, of which the query asked for one more than the limit. */
  page<R, T>(
    list: PagedList,
    rows: readonly R[],
    keyOf: (row: R) => CursorValues,
    view: (row: R) => T,
  ): Page<T> {
    const shown = rows.slice(0, list.limit);
    const last = shown.at(-1);
    const nextCursor =
      rows.length > list.limit && last !== undefined
        ? this.codec.encode(list.kind, digest(list.filters), keyOf(last))
        : null;
    return { items: shown.map(view), nextCursor };
  }
}

function digest(filters: unknown): string {
  return createHash('sha256')
    .update(canonicalJson(filters ?? null))
    .digest('base64url');
}
