import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { parseUnambiguous } from './unambiguous-json.js';

const read = (text: string): unknown => parseUnambiguous(Buffer.from(text));

describe('JSON that is signed', () => {
  it.each([
    ['{"a":1,"a":2}', 'it has "a" twice'],
    ['{"a":1,"\\u0061":2}', 'it has "a" twice'],
    ['{"b":[{"a":{}},{"a":{},"c":"}","a":0}]}', 'it has "a" twice'],
    ['{"__proto__":{}}', 'it has "__proto__" twice'],
    ['{"a":1}}', 'it is not JSON'],
    ['\ufeff{}', 'it is not JSON'],
    [`${'['.repeat(33)}${']'.repeat(33)}`, 'it nests deeper than 32 levels'],
  ])('is refused where readers differ: %s', (text, reason) => {
    expect(() => read(text)).toThrow(reason);
  });

  it('is refused when it is not UTF-8', () => {
    expect(() => parseUnambiguous(Buffer.from([0x22, 0xff, 0x22]))).toThrow('it is not UTF-8');
  });

  it('is what JSON.parse makes of it otherwise', () => {
    const values = fc.jsonValue({ maxDepth: 5 }).map((value) => JSON.stringify(value));
    void fc.assert(
      fc.property(values, (text) => {
        if (!text.includes('__proto__')) expect(read(text)).toEqual(JSON.parse(text));
      }),
    );
  });
});
