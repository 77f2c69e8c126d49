import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { projectRoot } from '../../src/common/project-root.js';

/** A table of the data model or of the database, in the database's words. */
export interface TableShape {
  columns: Record<string, ColumnShape>;
  primaryKey: readonly string[];
}

export interface ColumnShape {
  /** As Postgres writes it, such as `timestamp(3) with time zone`. */
  type: string;
  isNullable: boolean;
  hasDefault: boolean;
}

interface Field {
  name: string;
  dbName?: string | null;
  kind: string;
  type: string;
  isList: boolean;
  isRequired: boolean;
  isId: boolean;
  hasDefaultValue: boolean;
  nativeType: [string, string[]] | null;
}

interface Model {
  name: string;
  dbName: string | null;
  fields: Field[];
  primaryKey: { fields: string[] } | null;
}

/** Postgres types by Prisma's, where the schema names no native one. */
const TYPES: Readonly<Record<string, string>> = {
  String: 'text',
  Boolean: 'boolean',
  Int: 'integer',
  BigInt: 'bigint',
  Float: 'double precision',
  DateTime: 'timestamp(3) without time zone',
  Json: 'jsonb',
  Bytes: 'bytea',
};
const NATIVE_TYPES: Readonly<Record<string, string>> = {
  Uuid: 'uuid',
  Real: 'real',
  SmallInt: 'smallint',
  Inet: 'inet',
  'Timestamptz(3)': 'timestamp(3) with time zone',
};

/** The tables that `schema.prisma` describes, by name, parsed by Prisma itself. */
export async function prismaDataModel(): Promise<Record<string, TableShape>> {
  const schema = await readFile(join(projectRoot(), 'prisma', 'schema.prisma'), 'utf8');
  const models = await parse(schema);
  return Object.fromEntries(models.map((model) => [model.dbName ?? model.name, shapeOf(model, schema)]));
}

async function parse(schema: string): Promise<Model[]> {
  const directory = await mkdtemp(join(tmpdir(), 'fabric-schema-'));
  try {
    const output = join(directory, 'data-model.json');
    const generator = fileURLToPath(new URL('./data-model-generator.mjs', import.meta.url));
    const wanted = `generator model {\n  provider = "${process.execPath} ${generator}"\n  output = "${output}"\n}\n`;
    const file = join(directory, 'schema.prisma');
    await writeFile(file, schema.replace(/^generator [\s\S]*?^}\n/m, wanted));
    await promisify(execFile)(
      process.execPath,
      [join(projectRoot(), 'node_modules/prisma/build/index.js'), 'generate', '--schema', file],
      {
        cwd: projectRoot(),
        env: { ...process.env, CHECKPOINT_DISABLE: '1', PRISMA_HIDE_UPDATE_MESSAGE: '1' },
      },
    );
    return (JSON.parse(await readFile(output, 'utf8')) as { models: Model[] }).models;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function shapeOf(model: Model, schema: string): TableShape {
  const columns: Record<string, ColumnShape> = unsupportedColumns(model.name, schema);
  const columnOf = new Map(model.fields.map((field) => [field.name, field.dbName ?? field.name]));
  for (const field of model.fields.filter(({ kind }) => kind === 'scalar')) {
    columns[field.dbName ?? field.name] = {
      type: `${typeOf(model, field)}${field.isList ? '[]' : ''}`,
      isNullable: !field.isRequired && !field.isList,
      hasDefault: field.hasDefaultValue,
    };
  }
  const keys = model.primaryKey?.fields ?? model.fields.filter(({ isId }) => isId).map(({ name }) => name);
  return { columns, primaryKey: keys.map((name) => columnOf.get(name) ?? name) };
}

function typeOf(model: Model, { name, type, nativeType }: Field): string {
  if (nativeType === null) return TYPES[type] ?? type;
  const [base, args] = nativeType;
  const native = NATIVE_TYPES[args.length === 0 ? base : `${base}(${args.join(',')})`];
  if (native === undefined) throw new Error(`${model.name}.${name}: the test does not know @db.${base}`);
  return native;
}

/** Columns of types that Prisma does not know; it leaves them out of what it tells generators. */
function unsupportedColumns(model: string, schema: string): Record<string, ColumnShape> {
  const body = new RegExp(`^model ${model} \\{\\n([\\s\\S]*?)^\\}`, 'm').exec(schema)?.[1] ?? '';
  const found = [...body.matchAll(/^ *(\w+) +Unsupported\("([^"]+)"\)(\??)(.*)$/gm)];
  return Object.fromEntries(
    found.map(([, name = '', type = '', optional, rest = '']) => [
      /@map\("([^"]+)"\)/.exec(rest)?.[1] ?? name,
      { type, isNullable: optional === '?', hasDefault: rest.includes('@default') },
    ]),
  );
}
