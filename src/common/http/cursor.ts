import { createHmac, timingSafeEqual } from 'node:crypto';
import { type DomainError, malformed } from '../errors/domain-error.js';

/** The sort key of the last item on a page, in the order of the list's ORDER BY. */
export type CursorValues = readonly (string | number | null)[];

/** 128 bits: a forger has no way to try values offline, and the cursor stays short in a URL. */
const TAG_BYTES = 16;
/** Well above a sort key of a few columns; bounds the work that a hostile parameter can cause. */
const MAX_CURSOR_LENGTH = 2_048;

/** Makes and reads the opaque cursors of keyset lists. A cursor holds where the last page ended, authenticated
 *  together with the list's kind and filters, so that it can be neither altered nor carried over to another list. */
export class CursorCodec {
  /** @param key shared by all instances, used for nothing else: `MasterKeyring.purposeKey('cursor')` */
  constructor(private readonly key: Buffer) {}

  /** @param kind the list, such as `clusters`; @param filtersHash digest of everything that shapes the list (filters,
   *  order, scope of the caller), the page size apart
   *  @throws Error when a value is not finite: it could not be read back */
  encode(kind: string, filtersHash: string, values: CursorValues): string {
    if (values.some((value) => typeof value === 'number' && !Number.isFinite(value))) {
      throw new Error('A cursor value must be a finite number.');
    }
    const payload = Buffer.from(JSON.stringify(values));
    return Buffer.concat([this.tag(kind, filtersHash, payload), payload]).toString('base64url');
  }

  /** @throws malformed `invalid_cursor` when it was altered, or made for another list or other filters */
  decode(kind: string, filtersHash: string, cursor: string): CursorValues {
    if (cursor.length > MAX_CURSOR_LENGTH) throw invalidCursor();
    const bytes = Buffer.from(cursor, 'base64url');
    // Buffer skips what is not base64url: without this many texts would be the same cursor.
    if (bytes.toString('base64url') !== cursor || bytes.length < TAG_BYTES) throw invalidCursor();
    const payload = bytes.subarray(TAG_BYTES);
    const expected = this.tag(kind, filtersHash, payload);
    if (!timingSafeEqual(bytes.subarray(0, TAG_BYTES), expected)) throw invalidCursor();
    return JSON.parse(payload.toString()) as CursorValues; // authentic, so it is what encode wrote
  }

  private tag(kind: string, filtersHash: string, payload: Buffer): Buffer {
    const context = JSON.stringify(['cursor.v1', kind, filtersHash]); // quoting keeps the parts apart
    return createHmac('sha256', this.key).update(context).update(payload).digest().subarray(0, TAG_BYTES);
  }
}

function invalidCursor(): DomainError {
  const message = 'Not a cursor of this list with these filters; start again without it.';
  return malformed('invalid_cursor', 'The cursor is not valid for this list.', {
    errors: [{ parameter: 'cursor', message }],
  });
}
