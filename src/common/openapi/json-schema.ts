import { z } from 'zod';

/** A JSON Schema (2020-12) as it stands in the document. */
export interface JsonSchema {
  [keyword: string]: unknown;
  $ref?: string;
  type?: string | string[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  examples?: unknown[];
}

/** Which side of a schema is described: what callers send, or what they get. */
export type Direction = 'input' | 'output';

/** A converted schema with the named schemas that it refers to, as `#/$defs/<name>`. */
export interface Converted {
  schema: JsonSchema;
  definitions: Record<string, JsonSchema>;
}

/** Under this name stands what `z.json()` is: any JSON value. */
export const JSON_VALUE = 'JsonValue';

const DEFINITION = '#/$defs/';
const ONE_SCHEMA = ['items', 'additionalProperties', 'propertyNames', 'not'];
const SCHEMA_LISTS = ['anyOf', 'oneOf', 'allOf', 'prefixItems'];
/** Formats that say all that zod's own patterns for them say, in fewer than 400 characters. */
const TELLING_FORMATS: readonly unknown[] = ['date-time', 'uuid'];

/**
 * Converts a zod schema. A member of its metadata named `jsonSchema` replaces what would be derived: for parameters,
 * which are texts to zod and numbers to callers.
 * @throws Error for a recursive schema without an id, since it has no name to be referred to by
 */
export function convert(type: z.ZodType, direction: Direction): Converted {
  const {
    $schema: _,
    $defs = {},
    ...schema
  } = z.toJSONSchema(type, { io: direction, unrepresentable: 'any' });
  const anonymous = Object.keys($defs).filter((name) => name.startsWith('__'));
  for (const name of anonymous) {
    if (!isJsonValue($defs[name] as JsonSchema, name)) throw new Error('a recursive schema needs an id');
  }
  const clean = (raw: unknown) => cleaned(raw as JsonSchema, direction, new Set(anonymous));
  const named = Object.entries($defs).filter(([name]) => !anonymous.includes(name));
  const definitions = Object.fromEntries(named.map(([name, raw]) => [name, clean(raw)]));
  if (anonymous.length > 0) definitions[JSON_VALUE] = { description: 'Any JSON value.' };
  return { schema: clean(schema), definitions };
}

/** Names of the definitions to which a schema refers directly. */
export function referencesOf(schema: JsonSchema): Set<string> {
  const found = new Set<string>();
  mapReferences(schema, (name) => {
    found.add(name);
    return name;
  });
  return found;
}

/** The schema with every `#/$defs/<name>` replaced by what `rename` makes of the name. */
export function mapReferences(schema: JsonSchema, rename: (name: string) => string): JsonSchema {
  const mapped = mapChildren(schema, (child) => mapReferences(child, rename));
  if (mapped.$ref?.startsWith(DEFINITION)) mapped.$ref = rename(mapped.$ref.slice(DEFINITION.length));
  return mapped;
}

function cleaned(raw: JsonSchema, direction: Direction, jsonValues: ReadonlySet<string>): JsonSchema {
  const schema = mapChildren(raw, (child) => cleaned(child, direction, jsonValues));
  const { jsonSchema, description, example } = schema;
  if (jsonSchema !== undefined) {
    const kept = {
      ...(description !== undefined && { description }),
      ...(example !== undefined && { examples: [example] }),
    };
    return { ...kept, ...(jsonSchema as JsonSchema) };
  }
  delete schema.id;
  delete schema.example;
  if (example !== undefined) schema.examples = [example];
  if (TELLING_FORMATS.includes(schema.format)) delete schema.pattern;
  // Every integer in JSON is within these bounds, so they say nothing.
  if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
  if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
  if (isPlainText(schema.propertyNames)) delete schema.propertyNames;
  // Answers may grow members: a client that was generated from this document must not refuse them.
  if (direction === 'output' && schema.additionalProperties === false) delete schema.additionalProperties;
  if (schema.$ref !== undefined && jsonValues.has(schema.$ref.slice(DEFINITION.length))) {
    schema.$ref = `${DEFINITION}${JSON_VALUE}`;
  }
  return schema;
}

function mapChildren(schema: JsonSchema, map: (child: JsonSchema) => JsonSchema): JsonSchema {
  const mapped: JsonSchema = { ...schema };
  if (schema.properties !== undefined) {
    const members = Object.entries(schema.properties).map(([name, child]) => [name, map(child)]);
    mapped.properties = Object.fromEntries(members) as Record<string, JsonSchema>;
  }
  for (const keyword of ONE_SCHEMA) {
    const child = schema[keyword];
    if (typeof child === 'object' && child !== null) mapped[keyword] = map(child as JsonSchema);
  }
  for (const keyword of SCHEMA_LISTS) {
    const children = schema[keyword];
    if (Array.isArray(children)) mapped[keyword] = children.map((child) => map(child as JsonSchema));
  }
  return mapped;
}

function isPlainText(schema: unknown): boolean {
  return typeof schema === 'object' && schema !== null && Object.keys(schema).join() === 'type';
}

/** Recognizes what zod makes of `z.json()`. */
function isJsonValue({ anyOf = [] }: JsonSchema, name: string): boolean {
  const itself = `${DEFINITION}${name}`;
  const types = anyOf.map(({ type }) => type).join();
  return types === 'string,number,boolean,null,array,object' && anyOf[4]?.items?.$ref === itself;
}
