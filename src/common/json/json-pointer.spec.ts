import { describe, expect, it } from '@jest/globals';
import { jsonPointer } from './json-pointer.js';

describe('jsonPointer', () => {
  it.each<[string, PropertyKey[], string]>([
    ['points at the whole document', [], '#'],
    ['joins names and indexes', ['items', 0, 'name'], '#/items/0/name'],
    ['escapes slash and tilde', ['a/b', 'm~n'], '#/a~1b/m~0n'],
    ['percent-encodes what a fragment cannot hold', ['c%d', 'e^f', ' ', '#'], '#/c%25d/e%5Ef/%20/%23'],
    ['keeps an empty name', [''], '#/'],
    ['percent-encodes beyond ASCII', ['é'], '#/%C3%A9'],
    ['shows a lone surrogate as the replacement character', ['\ud800'], '#/%EF%BF%BD'],
  ])('%s', (_, path, pointer) => expect(jsonPointer(path)).toBe(pointer));
});
