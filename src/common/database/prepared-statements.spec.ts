import { expect, it } from '@jest/globals';
import { prepared } from './prepared-statements.js';
import { raw, sql } from './sql.js';

it('a statement has one name for all of its values, and another text another one', () => {
  const one = prepared(sql`SELECT ${1}::int AS n`);
  const again = prepared(sql`SELECT ${2}::int AS n`);
  const other = prepared(sql`SELECT ${1}::int AS m`);
  expect(again).toEqual({ ...one, values: [2] });
  expect(one.name).toMatch(/^fabric_\d+$/);
  expect(other.name).not.toBe(one.name);
});

it('texts that are put together without end get no name, so that connections do not keep a plan of each', () => {
  const names = Array.from({ length: 1_000 }, (_, at) => prepared(sql`SELECT ${raw(String(at))}`).name);
  expect(new Set(names).size).toBeLessThanOrEqual(201);
  expect(names.at(-1)).toBeUndefined();
});
