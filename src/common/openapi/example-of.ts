import type { JsonSchema } from './json-schema.js';

const COMPONENT = '#/components/schemas/';
/** Deeper than any schema of ours; a schema that has itself as a required member would not end. */
const MAX_DEPTH = 24;

const BY_FORMAT: Readonly<Record<string, unknown>> = {
  'date-time': '2026-11-23T08:00:00.000Z',
  uuid: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21',
  uri: 'https://fabric.example',
  email: 'operator@fabric.example',
};

class NoExample extends Error {}

/**
 * A value that fits the schema, taken from its examples where it has some.
 * @param components what `#/components/schemas/` refers to
 * @throws Error for a text with a pattern and without an example, and for a schema without end
 */
export function exampleOf(schema: JsonSchema, components: Readonly<Record<string, JsonSchema>>): unknown {
  return example(schema, components, '', 0);
}

function example(
  schema: JsonSchema,
  components: Readonly<Record<string, JsonSchema>>,
  path: string,
  depth: number,
): unknown {
  if (depth > MAX_DEPTH) throw new Error(`the schema has no end at ${path}`);
  const inside = (child: JsonSchema, step: string) =>
    example(child, components, `${path}/${step}`, depth + 1);
  if (schema.examples !== undefined) return schema.examples[0];
  if ('const' in schema) return schema.const;
  if ('default' in schema) return schema.default;
  if (Array.isArray(schema.enum)) return schema.enum[0];
  if (schema.$ref?.startsWith(COMPONENT)) {
    const target = components[schema.$ref.slice(COMPONENT.length)];
    if (target === undefined) throw new Error(`${path} refers to ${schema.$ref}, which is not there`);
    return inside(target, '');
  }
  const variants = schema.anyOf ?? (schema.oneOf as JsonSchema[] | undefined);
  if (variants !== undefined) return inside(preferred(variants), '');
  if (mayBeNull(schema) && schema.format === 'date-time') return null;
  switch (typeOf(schema)) {
    case 'object':
      return Object.fromEntries(
        Object.entries(schema.properties ?? {}).flatMap(([name, member]) => {
          const isNeeded = schema.required?.includes(name) === true;
          const value = isNeeded ? inside(member, name) : orNothing(() => inside(member, name));
          return value === undefined ? [] : [[name, value]];
        }),
      );
    case 'array':
      return schema.items === undefined || isAnything(schema.items, components)
        ? []
        : [inside(schema.items, '0')];
    case 'string':
      return text(schema, path);
    case 'integer':
    case 'number':
      return Math.max(Number(schema.minimum ?? 0), 0);
    case 'boolean':
      return false;
    default:
      return null;
  }
}

/** A member that may be absent is, when nobody has given an example of it. */
function orNothing(make: () => unknown): unknown {
  try {
    return make();
  } catch (error) {
    if (error instanceof NoExample) return undefined;
    throw error;
  }
}

/** An instant that may be null is one that has not come: nothing was revoked, nothing expires. */
function preferred(variants: JsonSchema[]): JsonSchema {
  const empty = variants.find(({ type }) => type === 'null');
  const full = variants.find((variant) => variant !== empty) ?? {};
  return empty !== undefined && full.format === 'date-time' ? empty : full;
}

function typeOf({ type }: JsonSchema): string | undefined {
  return Array.isArray(type) ? type.find((each) => each !== 'null') : type;
}

function mayBeNull({ type }: JsonSchema): boolean {
  return Array.isArray(type) && type.includes('null');
}

function isAnything(schema: JsonSchema, components: Readonly<Record<string, JsonSchema>>): boolean {
  const target = schema.$ref === undefined ? schema : components[schema.$ref.slice(COMPONENT.length)];
  return Object.keys(target ?? {}).every((keyword) => keyword === 'description');
}

function text({ format, pattern, minLength }: JsonSchema, path: string): unknown {
  const known = BY_FORMAT[String(format)];
  if (known !== undefined) return known;
  if (pattern !== undefined) throw new NoExample(`the text at ${path} needs an example: it has a pattern`);
  return 'text'.padEnd(Number(minLength ?? 0), '.');
}
