import { describe, expect, it } from '@jest/globals';
import { exampleOf } from './example-of.js';
import type { JsonSchema } from './json-schema.js';

const components = {
  Name: { type: 'string', examples: ['edge-1'] },
  Anything: { description: 'Any JSON value.' },
};

describe('exampleOf', () => {
  it.each<[string, JsonSchema, unknown]>([
    ['takes the example that is given', { type: 'integer', examples: [7], default: 3 }, 7],
    ['takes an example that is null', { type: 'string', examples: [null] }, null],
    ['takes a constant', { const: 'active' }, 'active'],
    ['takes the default', { type: 'integer', default: 50 }, 50],
    ['takes the first of several values', { enum: ['pending', 'approved'] }, 'pending'],
    ['follows references', { $ref: '#/components/schemas/Name' }, 'edge-1'],
    [
      'prefers a value to null',
      { anyOf: [{ type: 'null' }, { type: 'string', format: 'uuid' }] },
      expect.any(String),
    ],
    [
      'lets an instant that may be null be null',
      { anyOf: [{ type: 'string', format: 'date-time' }, { type: 'null' }] },
      null,
    ],
    ['shows an instant that may not', { type: 'string', format: 'date-time' }, '2026-11-23T08:00:00.000Z'],
    ['keeps to the minimum', { type: 'integer', minimum: 60 }, 60],
    ['keeps to the shortest text', { type: 'string', minLength: 6 }, 'text..'],
    [
      'leaves a list of anything empty',
      { type: 'array', items: { $ref: '#/components/schemas/Anything' } },
      [],
    ],
    [
      'fills an object',
      {
        type: 'object',
        properties: { tags: { type: 'array', items: { type: 'boolean' } } },
        required: ['tags'],
      },
      { tags: [false] },
    ],
    [
      'leaves out an optional member that it cannot make',
      { type: 'object', properties: { name: { type: 'string', pattern: '^x+$' } } },
      {},
    ],
  ])('%s', (_, schema, expected) => {
    expect(exampleOf(schema, components)).toEqual(expected);
  });

  it('asks for an example of a text that must match a pattern', () => {
    const schema = {
      type: 'object',
      properties: { name: { type: 'string', pattern: '^x+$' } },
      required: ['name'],
    };
    expect(() => exampleOf(schema, {})).toThrow('/name needs an example');
  });

  it('refuses a schema without end', () => {
    const Self = {
      type: 'object',
      properties: { self: { $ref: '#/components/schemas/Self' } },
      required: ['self'],
    };
    expect(() => exampleOf({ $ref: '#/components/schemas/Self' }, { Self })).toThrow('no end');
  });
});
