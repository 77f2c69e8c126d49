import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DomainError } from '../errors/domain-error.js';
import { MAX_JSON_DEPTH, parseStrictJson } from './strict-json.js';

function refusal(input: Buffer | string): DomainError {
  try {
    parseStrictJson(input);
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

function outcome<T>(work: () => T): { value: T } | 'refused' {
  try {
    return { value: work() };
  } catch {
    return 'refused';
  }
}

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

describe('parseStrictJson', () => {
  it.each<[string, string]>([
    ['scalars', '[true,false,null,0,-0.5e-3,"a"]'],
    ['space around everything', ' \t\r\n{ "a" : [ 1 , 2 ] , "b" : { } } \n'],
    ['escapes', '["\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9"]'],
    ['surrogate pairs, written and escaped', '["😀","\\ud83d\\ude00"]'],
    ['the same name in different objects', '{"a":{"a":1},"b":[{"a":1},{"a":2}]}'],
    ['numbers that round to zero or to a neighbour', '[1e-999,9007199254740993]'],
    ['the deepest nesting allowed', nested(MAX_JSON_DEPTH)],
  ])('reads %s as JSON.parse does', (_, text) => {
    expect(parseStrictJson(text)).toEqual(JSON.parse(text));
    expect(parseStrictJson(Buffer.from(text))).toEqual(JSON.parse(text));
  });

  it.each<[string, Buffer | string, string, RegExp]>([
    ['no text', '', 'malformed_json', /expected a value at line 1 column 1 \(position 0\)/],
    ['a missing value', '{"a":}', 'malformed_json', /position 5/],
    ['a second line', '{\n  "a": x\n}', 'malformed_json', /line 2 column 8 \(position 9\)/],
    ['text after the end', '{} {}', 'malformed_json', /position 3/],
    ['a trailing comma', '[1,]', 'malformed_json', /position 3/],
    ['a missing comma', '[1 2]', 'malformed_json', /position 3/],
    ['single quotes', "{'a':1}", 'malformed_json', /position 1/],
    ['a name without a colon', '{"a" 1}', 'malformed_json', /expected ':'/],
    ['an open string', '["a', 'malformed_json', /does not end/],
    ['a raw control character', '["a\nb"]', 'malformed_json', /control characters/],
    ['a raw NUL', '["\0"]', 'malformed_json', /control characters/],
    ['an unknown escape', '["\\x"]', 'malformed_json', /valid escape/],
    ['a leading zero', '[01]', 'malformed_json', /position 2/],
    ['NaN', '[NaN]', 'malformed_json', /expected a value/],
    ['a byte order mark', Buffer.from('\ufeff{}'), 'malformed_json', /position 0/],
    ['invalid UTF-8', Buffer.from([0x5b, 0x22, 0xc3, 0x28, 0x22, 0x5d]), 'malformed_json', /UTF-8 at byte 2/],
    ['one level too many', nested(MAX_JSON_DEPTH + 1), 'json_too_deep', /deeper than 32/],
    ['a megabyte of open arrays', '['.repeat(1_048_576), 'json_too_deep', /position 32/],
    ['a megabyte of open objects', '{"a":'.repeat(200_000), 'json_too_deep', /deeper than 32/],
    ['a number beyond a double', '{"a":[1e999]}', 'invalid_number', /too large/],
    ['a long integer beyond a double', `-${'9'.repeat(400)}`, 'invalid_number', /too large/],
  ])('refuses %s', (_, text, code, message) => {
    expect(refusal(text)).toMatchObject({ kind: 'malformed', code, message: expect.stringMatching(message) });
  });

  it.each<[string, string, string, string]>([
    ['a repeated name', '{"a":{"b":1,"c":2,"b":3}}', 'duplicate_key', '#/a/b'],
    ['a name repeated through an escape', '{"a":1,"\\u0061":2}', 'duplicate_key', '#/a'],
    ['__proto__', '{"a":[{"__proto__":{}}]}', 'forbidden_key', '#/a/0/__proto__'],
    ['__proto__ through an escape', '{"\\u005f_proto__":{}}', 'forbidden_key', '#/__proto__'],
    ['an escaped NUL', '{"a":["x","\\u0000"]}', 'invalid_string', '#/a/1'],
    ['a lone high surrogate', '{"a/b":"\\ud800"}', 'invalid_string', '#/a~1b'],
    ['a lone low surrogate', '["\\udc00\\ud800"]', 'invalid_string', '#/0'],
    ['a lone surrogate that is not escaped', '[1,"\ud800"]', 'invalid_string', '#/1'],
    ['a NUL in a name', '{"a":{"\\u0000":1}}', 'invalid_string', '#/a'],
    ['a lone surrogate in a name', '{"a":{"b":1,"\\ud800":1}}', 'invalid_string', '#/a'],
    ['a number beyond a double', '{"a":{"b":[0,-1E400]}}', 'invalid_number', '#/a/b/1'],
  ])('says where %s stands', (_, text, code, pointer) => {
    const error = refusal(text);
    expect(error.code).toBe(code);
    expect(error.details.errors).toEqual([{ pointer, message: expect.any(String) }]);
  });

  it('does not quote the text, which may hold a secret', () => {
    expect(refusal('{"token":"fab_secret" x').message).not.toContain('fab');
  });

  it('agrees with JSON.parse about every JSON value', () => {
    const value = fc.jsonValue({ maxDepth: 6, noUnicodeString: false });
    fc.assert(
      fc.property(value, fc.constantFrom(undefined, 2), (input, space) => {
        const text = JSON.stringify(input, undefined, space);
        fc.pre(!/\\u0000|\\ud[89a-f]|__proto__/i.test(text));
        expect(parseStrictJson(Buffer.from(text))).toEqual(JSON.parse(text));
      }),
    );
  });

  it('refuses whatever JSON.parse refuses, and takes the rest', () => {
    const pieces = [
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      ' ',
      '"a"',
      '"b"',
      '"',
      '\\',
      '1',
      '-',
      '.',
      'e',
      '0',
      'true',
      'nul',
    ];
    const text = fc.array(fc.constantFrom(...pieces), { maxLength: 9 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, (input) => {
        const strict = outcome(() => parseStrictJson(input));
        if (strict !== 'refused') expect(strict).toEqual({ value: JSON.parse(input) });
        else if (refusal(input).code === 'malformed_json')
          expect(outcome(() => JSON.parse(input))).toBe('refused');
      }),
      { numRuns: 5_000 },
    );
  });

  it('answers any bytes with a value or a DomainError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const input = Buffer.from(bytes);
        if (outcome(() => parseStrictJson(input)) === 'refused') refusal(input);
      }),
    );
  });
});
