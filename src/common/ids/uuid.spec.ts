import { describe, expect, it } from '@jest/globals';
import { isUuid, newId } from './uuid.js';

describe('newId', () => {
  it('makes version 7 ids that sort in the order they were made', () => {
    const ids = Array.from({ length: 2_000 }, newId);
    expect(
      ids.every((id) => /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)),
    ).toBe(true);
    expect([...ids].sort()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('isUuid', () => {
  it.each<[string, string, boolean]>([
    ['a new id', newId(), true],
    ['upper case', newId().toUpperCase(), true],
    ['another version', 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6', true],
    ['the nil UUID', '00000000-0000-0000-0000-000000000000', true],
    ['no dashes', newId().replaceAll('-', ''), false],
    ['braces', `{${newId()}}`, false],
    ['a line feed at the end', `${newId()}\n`, false],
    ['a slug', 'moscow-1', false],
  ])('%s', (_, text, is) => expect(isUuid(text)).toBe(is));
});
