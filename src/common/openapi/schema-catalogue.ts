import type { z } from 'zod';
import {
  type Converted,
  convert,
  type Direction,
  type JsonSchema,
  mapReferences,
  referencesOf,
} from './json-schema.js';

const DIRECTIONS = ['input', 'output'] as const;

/**
 * The named schemas of the document. A schema that callers send and get, and that is not the same both ways (defaults
 * make members optional), is two: the one that is sent has `Input` behind its name.
 */
export class SchemaCatalogue {
  private readonly definitions: Record<Direction, Map<string, JsonSchema>> = {
    input: new Map(),
    output: new Map(),
  };
  private readonly converted: Record<Direction, Map<z.ZodType, Converted>> = {
    input: new Map(),
    output: new Map(),
  };
  private readonly split: ReadonlySet<string>;

  /** @param types every schema that the document will show
   *  @throws Error when two different schemas have one name */
  constructor(types: readonly { type: z.ZodType; direction: Direction }[]) {
    for (const { type, direction } of types) this.read(type, direction);
    this.split = this.differing();
    for (const name of this.split) {
      if (this.known(`${name}Input`))
        throw new Error(`the name ${name}Input is needed for what is sent of ${name}`);
    }
  }

  /** How the document shows a schema: a reference where it has a name. @throws Error for one that was not announced */
  show(type: z.ZodType, direction: Direction): JsonSchema {
    const known = this.converted[direction].get(type);
    if (known === undefined) throw new Error('the schema was not announced');
    return this.resolved(known.schema, direction);
  }

  /** The content of `components.schemas`, by name. */
  components(): Record<string, JsonSchema> {
    const all = DIRECTIONS.flatMap((direction) =>
      [...this.definitions[direction]].map(([name, schema]): [string, JsonSchema] => [
        this.nameOf(name, direction),
        this.resolved(schema, direction),
      ]),
    );
    return Object.fromEntries(all.sort(([one], [other]) => (one < other ? -1 : 1)));
  }

  private read(type: z.ZodType, direction: Direction): void {
    if (this.converted[direction].has(type)) return;
    const converted = convert(type, direction);
    this.converted[direction].set(type, converted);
    for (const [name, schema] of Object.entries(converted.definitions)) {
      const known = this.definitions[direction].get(name);
      if (known !== undefined && !isSame(known, schema)) throw new Error(`two schemas are named ${name}`);
      this.definitions[direction].set(name, schema);
    }
  }

  /** The names whose two sides differ, in themselves or in what they refer to. */
  private differing(): Set<string> {
    const { input, output } = this.definitions;
    const both = [...input.keys()].filter((name) => output.has(name));
    const differing = new Set(both.filter((name) => !isSame(input.get(name), output.get(name))));
    for (let before = -1; before !== differing.size; ) {
      before = differing.size;
      for (const name of both) {
        const references = referencesOf(input.get(name) ?? {});
        if ([...references].some((each) => differing.has(each))) differing.add(name);
      }
    }
    return differing;
  }

  private resolved(schema: JsonSchema, direction: Direction): JsonSchema {
    return mapReferences(schema, (name) => `#/components/schemas/${this.nameOf(name, direction)}`);
  }

  private nameOf(name: string, direction: Direction): string {
    return direction === 'input' && this.split.has(name) ? `${name}Input` : name;
  }

  private known(name: string): boolean {
    return DIRECTIONS.some((direction) => this.definitions[direction].has(name));
  }
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
