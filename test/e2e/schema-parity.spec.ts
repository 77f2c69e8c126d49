import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { prismaDataModel, type TableShape } from '../support/prisma-data-model.js';
import { createTestDatabase, type TestDatabase } from '../support/test-database.js';

let described: Record<string, TableShape>;
let database: TestDatabase;
let owner: pg.Client;
beforeAll(async () => {
  described = await prismaDataModel();
});
beforeEach(async () => {
  database = await createTestDatabase();
  owner = new pg.Client({ connectionString: database.ownerUrl });
  await owner.connect();
});
afterEach(async () => {
  await owner.end();
  await database.drop();
});

interface ColumnRow {
  table: string;
  column: string;
  type: string;
  isNullable: boolean;
  hasDefault: boolean;
  keyPosition: number | null;
}

/** The migrated tables, partitions and the log of migrations apart. */
async function migrated(): Promise<Record<string, TableShape>> {
  const { rows } = await owner.query<ColumnRow>(`
    SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type,
           NOT a.attnotnull AS "isNullable", (a.atthasdef OR a.attidentity <> '') AS "hasDefault",
           array_position(i.indkey::int[], a.attnum::int) AS "keyPosition"
      FROM pg_class AS c
      JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND c.relname <> '_prisma_migrations'
     ORDER BY c.relname, a.attnum`);
  const tables: Record<string, TableShape> = {};
  for (const { table } of rows) {
    const columns = rows.filter((row) => row.table === table);
    const keys = columns.filter(({ keyPosition }) => keyPosition !== null);
    tables[table] = {
      columns: Object.fromEntries(
        columns.map(({ column, type, isNullable, hasDefault }) => [column, { type, isNullable, hasDefault }]),
      ),
      primaryKey: keys
        .sort((one, other) => Number(one.keyPosition) - Number(other.keyPosition))
        .map(({ column }) => column),
    };
  }
  return tables;
}

describe('schema.prisma', () => {
  it('describes the migrated database: tables, columns, types, nullability, defaults and primary keys', async () => {
    const tables = await migrated();
    expect(Object.keys(described).length).toBeGreaterThan(20);
    expect(described).toEqual(tables);
  });

  it.each([
    ['a table that it does not have', 'CREATE TABLE extra (id uuid PRIMARY KEY)'],
    ['a table that is gone', 'DROP TABLE used_assertion_ids'],
    ['a new column', 'ALTER TABLE clusters ADD COLUMN extra text'],
    ['a column that is gone', 'ALTER TABLE clusters DROP COLUMN region'],
    ['another type', 'ALTER TABLE node_liveness ALTER COLUMN load_one TYPE double precision'],
    ['another precision', 'ALTER TABLE clusters ALTER COLUMN archived_at TYPE timestamptz(6)'],
    ['a column that may be null', 'ALTER TABLE clusters ALTER COLUMN metadata DROP NOT NULL'],
    ['a default that is gone', 'ALTER TABLE clusters ALTER COLUMN status DROP DEFAULT'],
    [
      'another primary key',
      'ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_pkey, ADD PRIMARY KEY (key_hash, principal)',
    ],
    ['another type of what Prisma does not know', 'ALTER TABLE change_feed ALTER COLUMN xid DROP DEFAULT'],
  ])('would be found out by %s', async (_, change) => {
    await owner.query(change);
    expect(described).not.toEqual(await migrated());
  });
});
