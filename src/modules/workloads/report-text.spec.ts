import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { inert, keptMessage, keptTail } from './report-text.js';

describe('a text from a workload', () => {
  it.each([
    ['plain text', 'all is well', 'all is well'],
    ['lines and tabs', 'a\n\tb\r\nc\rd', 'a\n\tb\nc\nd'],
    ['letters of all kinds', 'größer 日本 🙂', 'größer 日本 🙂'],
    ['colours', '\x1b[1;31mred\x1b[0m', 'red'],
    ['a cursor that moves', 'a\x1b[2Jb\x1b[10;10Hc', 'abc'],
    ['a window title', '\x1b]0;owned\x07text', 'text'],
    ['a link', '\x1b]8;;http://x\x1b\\text\x1b]8;;\x1b\\', 'text'],
    ['a reset', '\x1bcx', 'x'],
    ['a sequence that never ends', 'a\x1b[', 'a'],
    ['a title that never ends', 'a\x1b]0;b\nc\x1bd', 'a0;b\nc'],
    ['a lone escape', 'a\x1b', 'a\ufffd'],
    ['bells, deletes and C1 controls', 'a\x07\x7f\x9b', 'a\ufffd\ufffd\ufffd'],
    ['reversed reading', 'a\u202eb\u2066', 'a\ufffdb\ufffd'],
  ])('with %s', (_, text, kept) => expect(inert(text)).toBe(kept));

  it('never keeps what acts, whatever it was', () => {
    const parts = fc.constantFrom(
      '\x1b',
      '[',
      ']',
      '0',
      ';',
      'm',
      '\x07',
      '\\',
      '\n',
      '\r',
      '\x9b',
      '\u202e',
      'a',
      'é',
    );
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 40 }), (text) => {
        expect(inert(text.join(''))).not.toMatch(/[^\P{Cc}\n\t]|[\u202a-\u202e\u2066-\u2069]/u);
      }),
    );
  });

  it('is read in one go, however it is made: a rule that looks back again and again would never end', () => {
    const parts = ['\x1b]', '\x1b]a', '\x1b[1', '\x1b', '\r', '\x1bPa\x1bx'];
    for (const part of parts) expect(inert(part.repeat(200_000)).length).toBeLessThan(1_000_000);
  });
});

describe('a message', () => {
  it('is one line of at most a thousand characters', () => {
    expect(keptMessage('  a\nb\t\tc  ')).toBe('a b c');
    expect([...(keptMessage('🙂'.repeat(1_500)) ?? '')]).toHaveLength(1_000);
  });

  it('that holds nothing is none', () => {
    expect([keptMessage(undefined), keptMessage(''), keptMessage(' \n ')]).toEqual([null, null, null]);
  });
});

describe('the tail of a log', () => {
  it('keeps the last lines, and says when there were more', () => {
    const lines = Array.from({ length: 201 }, (_, line) => `line ${line}`);
    expect(keptTail(`${lines.slice(1).join('\n')}\n`)).toEqual({
      tail: lines.slice(1).join('\n'),
      isTruncated: false,
    });
    expect(keptTail(lines.join('\n'))).toEqual({ tail: lines.slice(1).join('\n'), isTruncated: true });
  });

  it('keeps 64 KiB, and never half of a character', () => {
    expect(keptTail('x'.repeat(65_536))).toEqual({ tail: 'x'.repeat(65_536), isTruncated: false });
    for (const letter of ['é', '日', '🙂']) {
      const { tail, isTruncated } = keptTail(`${'x'.repeat(7)}${letter.repeat(40_000)}`);
      expect(isTruncated).toBe(true);
      expect(tail).not.toContain('\ufffd');
      expect(Buffer.byteLength(tail)).toBeGreaterThan(65_532);
      expect(Buffer.byteLength(tail)).toBeLessThanOrEqual(65_536);
    }
  });

  it('may be empty', () => expect(keptTail('')).toEqual({ tail: '', isTruncated: false }));
});
