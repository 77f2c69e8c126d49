import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { SchemaCatalogue } from './schema-catalogue.js';

const reference = (name: string) => ({ $ref: `#/components/schemas/${name}` });

describe('SchemaCatalogue', () => {
  it('names nested schemas once and refers to them', () => {
    const Label = z.object({ key: z.string() }).meta({ id: 'Label' });
    const One = z.object({ label: Label }).meta({ id: 'One' });
    const Many = z.object({ labels: z.array(Label) }).meta({ id: 'Many' });
    const catalogue = new SchemaCatalogue([
      { type: One, direction: 'output' },
      { type: Many, direction: 'output' },
    ]);
    expect(catalogue.show(One, 'output')).toEqual(reference('One'));
    expect(Object.keys(catalogue.components())).toEqual(['Label', 'Many', 'One']);
    expect(catalogue.components().One?.properties).toEqual({ label: reference('Label') });
  });

  it('gives what is sent a name of its own where it differs, and so whatever refers to it', () => {
    const Policy = z.object({ seconds: z.int().default(30) }).meta({ id: 'Policy' });
    const Holder = z.object({ policy: Policy }).meta({ id: 'Holder' });
    const Same = z.looseObject({ name: z.string() }).meta({ id: 'Same' });
    const catalogue = new SchemaCatalogue(
      [Holder, Same].flatMap((type) => [
        { type, direction: 'input' as const },
        { type, direction: 'output' as const },
      ]),
    );
    expect(catalogue.show(Holder, 'input')).toEqual(reference('HolderInput'));
    expect(catalogue.show(Holder, 'output')).toEqual(reference('Holder'));
    expect(catalogue.show(Same, 'input')).toEqual(reference('Same'));
    const { HolderInput, Policy: output, PolicyInput } = catalogue.components();
    expect(HolderInput?.properties).toEqual({ policy: reference('PolicyInput') });
    expect(output?.required).toEqual(['seconds']);
    expect(PolicyInput?.required).toBeUndefined();
  });

  it('refuses two schemas of one name', () => {
    const types = [z.object({ a: z.string() }), z.object({ b: z.int() })].map((type) => ({
      type: type.meta({ id: 'Twice' }),
      direction: 'output' as const,
    }));
    expect(() => new SchemaCatalogue(types)).toThrow('two schemas are named Twice');
  });

  it('shows any JSON as one named schema, and lets answers grow', () => {
    const Event = z.object({ before: z.json(), after: z.json() }).meta({ id: 'Event' });
    const catalogue = new SchemaCatalogue([{ type: Event, direction: 'output' }]);
    const { Event: shown, JsonValue } = catalogue.components();
    expect(shown?.properties).toEqual({ before: reference('JsonValue'), after: reference('JsonValue') });
    expect(shown).not.toHaveProperty('additionalProperties');
    expect(JsonValue).toEqual({ description: 'Any JSON value.' });
  });

  it('keeps what callers send strict, and shows a parameter as what callers mean', () => {
    const Query = z.strictObject({
      limit: z
        .string()
        .default('5')
        .transform(Number)
        .meta({ jsonSchema: { type: 'integer', default: 5 }, example: 9 }),
    });
    const catalogue = new SchemaCatalogue([{ type: Query, direction: 'input' }]);
    expect(catalogue.show(Query, 'input')).toEqual({
      type: 'object',
      properties: { limit: { type: 'integer', default: 5, examples: [9] } },
      additionalProperties: false,
    });
  });
});
