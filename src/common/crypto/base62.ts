const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const BASE62 = /^[0-9A-Za-z]+$/;

/** `bytes` as one big-endian number in base 62, padded with zeros to `width` characters.
 *  @throws Error when it does not fit */
export function encodeBase62(bytes: Uint8Array, width: number): string {
  let rest = BigInt(`0x0${Buffer.from(bytes).toString('hex')}`);
  let text = '';
  for (; rest > 0n; rest /= 62n) text = `${ALPHABET[Number(rest % 62n)]}${text}`;
  if (text.length > width)
    throw new Error(`${bytes.length} bytes do not fit ${width} characters of base 62.`);
  return text.padStart(width, '0');
}

/** The `length` bytes that `encodeBase62` wrote; null when the text is not base 62 or the number is too large. */
export function decodeBase62(text: string, length: number): Buffer | null {
  if (!BASE62.test(text)) return null;
  let value = 0n;
  for (const character of text) value = value * 62n + BigInt(ALPHABET.indexOf(character));
  const hex = value.toString(16);
  return hex.length > length * 2 ? null : Buffer.from(hex.padStart(length * 2, '0'), 'hex');
}
