/** Texts that agents pass on from their workloads: they are shown on terminals and in browsers, so nothing in them
 *  may act there. */

const MESSAGE_CHARACTERS = 1_000;
const TAIL_BYTES = 65_536;
const TAIL_LINES = 200;

/** Escape sequences of terminals (ECMA-48): CSI, OSC and the like, and those of two characters. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|$)|[ -/]*[0-~])/g;
const LINE_ENDS = /\r\n?/g;
/** Controls but for line feed and tab, and what turns the direction of text around. */
const ACTIVE = /[^\P{Cc}\n\t]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
const REPLACEMENT = '\ufffd';

/** A text without anything that acts on a terminal; what was there is marked. */
export function inert(text: string): string {
  return text.replace(ESCAPES, '').replace(LINE_ENDS, '\n').replace(ACTIVE, REPLACEMENT);
}

/** A message as it is kept: one line, its beginning. null: there is none. */
export function keptMessage(text: string | undefined): string | null {
  if (text === undefined) return null;
  const kept = [
    ...inert(text)
      .replaceAll(/[\n\t]+/g, ' ')
      .trim(),
  ]
    .slice(0, MESSAGE_CHARACTERS)
    .join('');
  return kept === '' ? null : kept;
}

/** The tail of a log as it is kept: its last 200 lines, at most 64 KiB of UTF-8. */
export interface LogTail {
  tail: string;
  /** Whether more was sent than is kept. */
  isTruncated: boolean;
}

export function keptTail(text: string): LogTail {
  const whole = inert(text);
  // A line feed at the end closes the last line and begins none.
  const lines = whole.replace(/\n$/, '').split('\n');
  const last = lines.slice(-TAIL_LINES).join('\n');
  const bytes = Buffer.from(last);
  const tail = bytes.length <= TAIL_BYTES ? last : lastBytes(bytes);
  return { tail, isTruncated: lines.length > TAIL_LINES || tail.length < last.length };
}

/** The last bytes that fit, from the beginning of a character on. */
function lastBytes(bytes: Buffer): string {
  let start = bytes.length - TAIL_BYTES;
  // Continuation bytes of UTF-8 are 10xxxxxx.
  while (((bytes[start] ?? 0) & 0xc0) === 0x80) start += 1;
  return bytes.subarray(start).toString();
}
