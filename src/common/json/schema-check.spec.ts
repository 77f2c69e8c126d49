import { describe, expect, it } from '@jest/globals';
import { compileSchema } from './schema-check.js';

const check = compileSchema({
  type: 'object',
  required: ['name'],
  additionalProperties: false,
  properties: {
    name: { type: 'string' },
    mode: { enum: ['fast', 'safe'] },
    limits: { type: 'object', additionalProperties: { type: 'integer', maximum: 3 } },
    list: { type: 'array', items: { type: 'boolean' } },
  },
});

describe('a compiled schema', () => {
  it('finds nothing in a document that fits', () => {
    expect(check({ name: 'a', mode: 'safe', limits: { 'a/b': 3 }, list: [true] })).toEqual([]);
  });

  it.each<[string, unknown, string[], string]>([
    ['another type', null, [], 'Must be object.'],
    ['what is missing, by its name', {}, ['name'], 'Must be given.'],
    ['what is unknown, by its name', { name: 'a', 'x~/y': 1 }, ['x~/y'], 'Unknown member.'],
    ['what lies deep', { name: 'a', limits: { 'a~/b': 4 } }, ['limits', 'a~/b'], 'Must be <= 3.'],
    ['an item of a list', { name: 'a', list: [true, 1] }, ['list', '1'], 'Must be boolean.'],
    ['no such value, with those that are', { name: 'a', mode: 'x' }, ['mode'], 'Must be one of fast, safe.'],
  ])('names %s', (_, document, path, message) => {
    expect(check(document)).toEqual([{ path, message }]);
  });

  it('finds every fault at once', () => {
    expect(check({ mode: 'x', other: 1 })).toHaveLength(3);
  });

  it('is refused with a keyword that there is not', () => {
    expect(() => compileSchema({ type: 'object', propertys: {} })).toThrow(/propertys/);
  });
});
