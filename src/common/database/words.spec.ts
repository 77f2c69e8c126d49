import { describe, expect, it } from '@jest/globals';
import { word, words } from './words.js';

describe('a word of the code', () => {
  it('stands in a statement as a literal, and is no parameter', () => {
    const { text, values } = words(['planned', 'rolled_back', 'update-cache']);
    expect([text, values]).toEqual(["'planned', 'rolled_back', 'update-cache'", []]);
  });

  it.each(['', "it's", 'two words', 'Planned', '1st', 'a;b', 'a\\'])('is nothing else: %j', (text) => {
    expect(() => word(text)).toThrow('is no word');
  });
});
