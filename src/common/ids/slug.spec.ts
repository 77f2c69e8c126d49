import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isSlug, slugFromName } from './slug.js';

const UUID = '01890a5d-ac96-774b-bcce-b302099a8057';

describe('isSlug', () => {
  it.each<[string, string, boolean]>([
    ['one character', 'a', true],
    ['63 characters', 'a'.repeat(63), true],
    ['64 characters', 'a'.repeat(64), false],
    ['digits and dashes', '1-a--2', true],
    ['a dash at the start', '-a', false],
    ['a dash at the end', 'a-', false],
    ['upper case', 'A', false],
    ['an underscore', 'a_b', false],
    ['nothing', '', false],
    ['a line feed at the end', 'a\n', false],
    ['the form of a UUID', UUID, false],
  ])('%s', (_, text, is) => expect(isSlug(text)).toBe(is));
});

describe('slugFromName', () => {
  it.each<[string, string, string | null]>([
    ['lowers case and joins words', 'Moscow DC 1', 'moscow-dc-1'],
    ['drops accents', 'Zürich – Genève', 'zurich-geneve'],
    ['joins runs of other characters into one dash', '  a // b__c!', 'a-b-c'],
    ['unfolds compatibility forms', 'Ｆａｂ①', 'fab1'],
    ['keeps no dash where it cuts', `${'a'.repeat(62)} b`, 'a'.repeat(62)],
    ['gives up on a name without letters it knows', 'Москва', null],
    ['gives up on an empty name', '', null],
    ['gives up on the form of a UUID', UUID.toUpperCase(), null],
  ])('%s', (_, name, slug) => expect(slugFromName(name)).toBe(slug));

  it('makes a slug or nothing, and leaves a slug as it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 90 }), (name) => {
        const slug = slugFromName(name);
        if (slug === null) return;
        expect(isSlug(slug)).toBe(true);
        expect(slugFromName(slug)?.replaceAll('-', '')).toBe(slug.replaceAll('-', ''));
      }),
    );
  });
});
