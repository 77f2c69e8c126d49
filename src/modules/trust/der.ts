/** Tags of the DER encodings that are made here. */
export const DER = { integer: 0x02, sequence: 0x30 } as const;

/** One DER value: tag, length, content (X.690). Enough for short extensions. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.of(tag), lengthOf(content.length), content]);
}

/** A non-negative INTEGER below 2^53. */
export function derInteger(value: number): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  const isNegative = (bytes[0] ?? 0) > 0x7f; // without a leading zero it would be read as one
  return der(DER.integer, isNegative ? Buffer.concat([Buffer.of(0), bytes]) : bytes);
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.of(length);
  if (length < 0x100) return Buffer.of(0x81, length);
  return Buffer.of(0x82, length >> 8, length & 0xff);
}

/**
 * The first element inside a constructed DER value, its header included: what a certificate or request is signed over.
 * @throws Error when `value` is not DER of that form
 */
export function firstElement(value: Buffer): Buffer {
  const outer = headerAt(value, 0);
  const inner = headerAt(value, outer.contentAt);
  const end = inner.contentAt + inner.length;
  if (outer.contentAt + outer.length !== value.length || end > value.length)
    throw new Error('not a DER value');
  return value.subarray(outer.contentAt, end);
}

function headerAt(value: Buffer, at: number): { contentAt: number; length: number } {
  const first = value[at + 1];
  if (first === undefined) throw new Error('not a DER value');
  if (first < 0x80) return { contentAt: at + 2, length: first };
  const bytes = first & 0x7f;
  // No length: an indefinite form, which DER does not have. More than four bytes: no request is that long.
  if (bytes === 0 || bytes > 4 || at + 2 + bytes > value.length) throw new Error('not a DER value');
  return { contentAt: at + 2 + bytes, length: value.readUIntBE(at + 2, bytes) };
}
