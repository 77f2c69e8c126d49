import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DomainError } from '../errors/domain-error.js';
import { contentEtag, matchesIfMatch, matchesIfNoneMatch, parseEntityTags, twoPartEtag } from './etag.js';

const strong = (opaque: string) => ({ weak: false, opaque });
const weak = (opaque: string) => ({ weak: true, opaque });

describe('contentEtag', () => {
  it('depends on content only, not on the order of names', () => {
    expect(contentEtag({ a: 1, b: [2] })).toBe(contentEtag({ b: [2], a: 1 }));
    expect(contentEtag({ a: 1 })).not.toBe(contentEtag({ a: 2 }));
  });

  it('is 22 characters of base64url in quotes', () => {
    expect(contentEtag({})).toBe('"RBNvo1WzZ4oRRq0W9-hknp"');
  });
});

describe('twoPartEtag', () => {
  it('has one part for each content', () => {
    const part = contentEtag({}).slice(1, -1);
    expect(twoPartEtag({}, {})).toBe(`"${part}.${part}"`);
  });
});

describe('parseEntityTags', () => {
  it.each<[string, string, ReturnType<typeof parseEntityTags>]>([
    ['any', ' * ', '*'],
    ['one tag', '"a"', [strong('a')]],
    ['an empty tag', '""', [strong('')]],
    ['a weak tag', 'W/"a"', [weak('a')]],
    ['a list with and without spaces', '"a","b" ,\tW/"c"', [strong('a'), strong('b'), weak('c')]],
    ['a comma inside quotes', '"a,b", "c"', [strong('a,b'), strong('c')]],
    ['a backslash, which escapes nothing', '"a\\", "b"', [strong('a\\'), strong('b')]],
    ['empty list elements', ', "a",, "b",', [strong('a'), strong('b')]],
    ['an empty header', '', null],
    ['commas only', ',,', null],
    ['no quotes', 'abc', null],
    ['an open quote', '"a', null],
    ['a lower-case weak mark', 'w/"a"', null],
    ['a space inside quotes', '"a b"', null],
    ['tags without a comma', '"a" "b"', null],
    ['tags without anything between', '"a""b"', null],
    ['any in a list', '"a", *', null],
  ])('reads %s', (_, header, tags) => expect(parseEntityTags(header)).toEqual(tags));

  it('reads back every list it could be sent', () => {
    const opaque = fc.string({ unit: fc.constantFrom(...'ab,./*!#~-_W\\') });
    const tag = fc.record({ weak: fc.boolean(), opaque });
    fc.assert(
      fc.property(
        fc.array(tag, { minLength: 1, maxLength: 5 }),
        fc.constantFrom(',', ', ', ' ,, '),
        (tags, comma) => {
          const header = tags.map((each) => `${each.weak ? 'W/' : ''}"${each.opaque}"`).join(comma);
          expect(parseEntityTags(header)).toEqual(tags);
        },
      ),
    );
  });

  it('takes time in proportion to a hostile header', () => {
    expect(parseEntityTags(`"a"${' '.repeat(50_000)}"b"`)).toBeNull();
    expect(parseEntityTags(', '.repeat(50_000))).toBeNull();
  });
});

describe('matchesIfNoneMatch', () => {
  it.each<[string, string, string | null, boolean]>([
    ['the same tag', '"a"', '"a"', true],
    ['the same tag made weak by a proxy', 'W/"a"', '"a"', true],
    ['one of several', '"x", "a"', '"a"', true],
    ['another tag', '"b"', '"a"', false],
    ['another observed part', '"c.1"', '"c.2"', false],
    ['any, when it exists', '*', '"a"', true],
    ['any, when it does not exist', '*', null, false],
    ['nonsense', 'a', '"a"', false],
  ])('%s', (_, header, etag, matches) => expect(matchesIfNoneMatch(header, etag)).toBe(matches));
});

describe('matchesIfMatch', () => {
  it.each<[string, string, string | null, boolean]>([
    ['the same tag', '"a"', '"a"', true],
    ['one of several', '"x", "a"', '"a"', true],
    ['a weak tag', 'W/"a"', '"a"', false],
    ['another tag', '"b"', '"a"', false],
    ['the same config with another observed part', '"c.1"', '"c.2"', true],
    ['another config with the same observed part', '"c.1"', '"d.1"', false],
    ['three parts, which are compared whole', '"1.2.3"', '"1.2.4"', false],
    ['any, when it exists', '*', '"a"', true],
    ['any, when it does not exist', '*', null, false],
    ['a tag, when it does not exist', '"a"', null, false],
  ])('%s', (_, header, etag, matches) => expect(matchesIfMatch(header, etag)).toBe(matches));

  it('refuses a condition that it cannot read', () => {
    expect(() => matchesIfMatch('abc', '"abc"')).toThrow(DomainError);
  });
});
