import { describe, expect, it } from '@jest/globals';
import sql from 'sql-template-tag';
import { DomainError } from '../errors/domain-error.js';
import { compileFilter } from './compile-filter.js';
import type { FilterFields } from './filter-fields.js';
import { parseFilter } from './parse-filter.js';

const fields: FilterFields = {
  name: { column: sql`n.name`, type: 'text' },
  health: { column: sql`n.health`, type: 'enum', values: ['online', 'offline'] },
  cpuCount: { column: sql`n.cpu_count`, type: 'number' },
  lastSeenAt: { column: sql`n.last_seen_at`, type: 'instant' },
  disabled: { column: sql`n.disabled`, type: 'boolean' },
  labels: { column: sql`n.labels`, type: 'labels' },
  capabilities: { column: sql`n.capabilities`, type: 'set' },
  'facts.os': { column: sql`n.os`, type: 'text' },
  role: {
    column: sql`n.roles`,
    type: 'set',
    values: ['vpn-exit', 'relay-node'],
    condition: (operator, value) => sql`has_role(${operator}, ${value})`,
  },
};

const compile = (text: string) => {
  const { text: statement, values } = compileFilter(parseFilter(text), fields);
  return [statement, values];
};

function message(text: string): string | undefined {
  try {
    compile(text);
  } catch (error) {
    if (error instanceof DomainError && error.code === 'invalid_filter')
      return error.details.errors?.[0]?.message;
    throw error;
  }
  throw new Error('was not refused');
}

describe('compileFilter', () => {
  it.each<[string, string, unknown[]]>([
    ['name = "a"', '(n.name = $1::text)', ['a']],
    ['name != "a"', '(n.name IS DISTINCT FROM $1::text)', ['a']],
    ['name:"50%"', '(strpos(n.name, $1::text) > 0)', ['50%']],
    ['name:*', '(n.name IS NOT NULL)', []],
    ['health = online', '(n.health = $1::text)', ['online']],
    ['cpuCount >= 1.5', '(n.cpu_count >= $1::numeric)', [1.5]],
    ['cpuCount < 2', '(n.cpu_count < $1::numeric)', [2]],
    [
      'lastSeenAt > 2026-01-01T03:00:00+03:00',
      '(n.last_seen_at > $1::timestamptz)',
      ['2026-01-01T00:00:00.000Z'],
    ],
    [
      'lastSeenAt <= "2026-01-01T00:00:00Z"',
      '(n.last_seen_at <= $1::timestamptz)',
      ['2026-01-01T00:00:00.000Z'],
    ],
    ['disabled = true', '(n.disabled = $1::boolean)', [true]],
    ['disabled != false', '(n.disabled IS DISTINCT FROM $1::boolean)', [false]],
    ['labels.site = "msk"', '((n.labels ->> $1::text) = $2::text)', ['site', 'msk']],
    ['labels.site != "msk"', '((n.labels ->> $1::text) IS DISTINCT FROM $2::text)', ['site', 'msk']],
    ['labels.site:ms', '(strpos((n.labels ->> $1::text), $2::text) > 0)', ['site', 'ms']],
    ['labels.site:*', '((n.labels ->> $1::text) IS NOT NULL)', ['site']],
    ['labels.app.io/name = x', '((n.labels ->> $1::text) = $2::text)', ['app.io/name', 'x']],
    ['labels:site', '((n.labels ->> $1::text) IS NOT NULL)', ['site']],
    ['labels:*', "(n.labels <> '{}'::jsonb)", []],
    ['capabilities:x', '($1::text = ANY(n.capabilities))', ['x']],
    ['capabilities = x', '($1::text = ANY(n.capabilities))', ['x']],
    ['capabilities != x', '(($1::text = ANY(n.capabilities)) IS NOT TRUE)', ['x']],
    ['capabilities:*', '(cardinality(n.capabilities) > 0)', []],
    ['facts.os = linux', '(n.os = $1::text)', ['linux']],
    ['role = "vpn-exit"', '(has_role($1, $2))', ['=', 'vpn-exit']],
    ['role:*', '(has_role($1, $2))', [':', null]],
    ['NOT name = a', '((n.name = $1::text) IS NOT TRUE)', ['a']],
    [
      'name=a AND name=b OR name=c',
      '((n.name = $1::text) AND ((n.name = $2::text) OR (n.name = $3::text)))',
      ['a', 'b', 'c'],
    ],
  ])('%s', (text, statement, values) => expect(compile(text)).toEqual([statement, values]));

  it.each<[string, string]>([
    [
      'nam = a',
      'Unknown field nam at position 0; the fields are name, health, cpuCount, lastSeenAt, disabled, labels.<name>, capabilities, facts.os, role',
    ],
    ['name = a AND name.x = b', 'Unknown field name.x at position 13;'],
    ['constructor = a', 'Unknown field constructor at position 0;'],
    ['__proto__:*', 'Unknown field __proto__ at position 0;'],
    ['health = onlin', 'No such health at position 0; it is one of online, offline'],
    ['role = exit', 'No such role at position 0; it is one of vpn-exit, relay-node'],
    ['health < online', 'health does not take < at position 0; it takes = != and :*'],
    ['name > a', 'name does not take > at position 0; it takes = != : and :*'],
    ['labels = a', 'labels does not take = at position 0; it takes : and :*'],
    ['labels.site > a', 'labels.site does not take > at position 0; it takes = != : and :*'],
    ['capabilities < a', 'capabilities does not take < at position 0; it takes = != : and :*'],
    ['cpuCount = many', 'Expected a number as the value of cpuCount at position 0'],
    ['cpuCount = 0x10', 'Expected a number as'],
    ['cpuCount = 1e999', 'Expected a number as'],
    ['lastSeenAt > yesterday', 'Expected an RFC 3339 time as the value of lastSeenAt at position 0'],
    ['lastSeenAt > 2026-02-30T00:00:00Z', 'Expected an RFC 3339 time as'],
    ['lastSeenAt > 2026-01-01T00:00:00', 'Expected an RFC 3339 time as'],
    ['lastSeenAt > 0001-01-01T00:00:00+01:00', 'Expected an RFC 3339 time as'],
    ['disabled = yes', 'Expected true or false as the value of disabled at position 0'],
  ])('refuses %s', (text, expected) => expect(message(text)).toContain(expected));

  it('puts no part of the filter into the statement', () => {
    const [statement, values] = compile(`name = "'; DROP TABLE x; --" AND labels."') --" = "$1"`);
    expect(statement).toBe('((n.name = $1::text) AND ((n.labels ->> $2::text) = $3::text))');
    expect(values).toEqual(["'; DROP TABLE x; --", "') --", '$1']);
  });
});
