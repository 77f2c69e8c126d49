import sql, { join, type Sql } from 'sql-template-tag';
import { type Comparison, type FilterNode, type Presence, printPath } from './filter-ast.js';
import { invalidFilter } from './filter-error.js';
import { type FilterField, type FilterFields, OPERATORS } from './filter-fields.js';
import { readInstant, readNumber } from './filter-values.js';

/** A filter as an SQL condition; every name and value from the filter is a parameter. A comparison with a field that has
 *  no value is false, and its negation true, so that `a != b` is `NOT a = b`.
 *  @throws malformed `invalid_filter` for unknown fields, operators that a field does not take and values that are not
 *  of its type, saying which there are */
export function compileFilter(node: FilterNode, fields: FilterFields): Sql {
  switch (node.kind) {
    case 'and':
      return sql`(${join(
        node.operands.map((operand) => compileFilter(operand, fields)),
        ' AND ',
      )})`;
    case 'or':
      return sql`(${join(
        node.operands.map((operand) => compileFilter(operand, fields)),
        ' OR ',
      )})`;
    case 'not':
      return sql`(${compileFilter(node.operand, fields)} IS NOT TRUE)`; // NOT of NULL would be NULL
    case 'presence':
      return compilePresence(node, fields);
    case 'comparison':
      return compileComparison(node, fields);
  }
}

function compileComparison(node: Comparison, fields: FilterFields): Sql {
  const { field, label } = resolve(node, fields);
  const { operator, value } = node;
  const operators = label === null && field.type === 'labels' ? ([':'] as const) : OPERATORS[field.type];
  if (!operators.some((each) => each === operator)) {
    const hint = `it takes ${operators.join(' ')} and :*`;
    throw invalidFilter(`${printPath(node.path)} does not take ${operator}`, node.position, hint);
  }
  if (field.values !== undefined && !field.values.includes(value)) {
    const hint = `it is one of ${field.values.join(', ')}`;
    throw invalidFilter(`No such ${printPath(node.path)}`, node.position, hint);
  }
  const typed = typedValue(node, field);
  if (field.condition !== undefined) return sql`(${field.condition(operator, value)})`;
  const { column } = field;
  if (label !== null) return compare(sql`(${column} ->> ${label}::text)`, operator, typed);
  if (field.type === 'labels') return sql`((${column} ->> ${value}::text) IS NOT NULL)`;
  if (field.type !== 'set') return compare(column, operator, typed);
  const isMember = sql`(${typed} = ANY(${column}))`;
  return operator === '!=' ? sql`(${isMember} IS NOT TRUE)` : isMember;
}

function compare(left: Sql, operator: Comparison['operator'], right: Sql): Sql {
  switch (operator) {
    case '=':
      return sql`(${left} = ${right})`;
    case '!=':
      return sql`(${left} IS DISTINCT FROM ${right})`;
    case '<':
      return sql`(${left} < ${right})`;
    case '<=':
      return sql`(${left} <= ${right})`;
    case '>':
      return sql`(${left} > ${right})`;
    case '>=':
      return sql`(${left} >= ${right})`;
    case ':':
      return sql`(strpos(${left}, ${right}) > 0)`; // no LIKE: the value would be a pattern
  }
}

function compilePresence(node: Presence, fields: FilterFields): Sql {
  const { field, label } = resolve(node, fields);
  if (field.condition !== undefined) return sql`(${field.condition(':', null)})`;
  const { column } = field;
  if (label !== null) return sql`((${column} ->> ${label}::text) IS NOT NULL)`;
  if (field.type === 'labels') return sql`(${column} <> '{}'::jsonb)`;
  if (field.type === 'set') return sql`(cardinality(${column}) > 0)`;
  return sql`(${column} IS NOT NULL)`;
}

/** The field that a path names; `label` is the key when the path leads into a field of labels. */
function resolve(
  node: Comparison | Presence,
  fields: FilterFields,
): { field: FilterField; label: string | null } {
  const [first = '', ...rest] = node.path;
  const name = node.path.join('.');
  if (Object.hasOwn(fields, name)) {
    const field = fields[name];
    if (field !== undefined) return { field, label: null };
  }
  const parent = Object.hasOwn(fields, first) ? fields[first] : undefined;
  if (parent?.type === 'labels') return { field: parent, label: rest.join('.') };
  const known = Object.entries(fields).map(([each, field]) =>
    field.type === 'labels' ? `${each}.<name>` : each,
  );
  throw invalidFilter(
    `Unknown field ${printPath(node.path)}`,
    node.position,
    `the fields are ${known.join(', ')}`,
  );
}

/** The value as a parameter. The casts keep Postgres from reading the parameter as the column's own type, where a
 *  fraction compared with an integer column would be an error instead of an answer. */
function typedValue(node: Comparison, field: FilterField): Sql {
  const { value } = node;
  switch (field.type) {
    case 'number':
      return sql`${readNumber(value) ?? refuse(node, 'a number')}::numeric`;
    case 'instant':
      return sql`${readInstant(value)?.toISOString() ?? refuse(node, 'an RFC 3339 time')}::timestamptz`;
    case 'boolean':
      return sql`${value === 'true' || (value === 'false' ? false : refuse(node, 'true or false'))}::boolean`;
    default:
      return sql`${value}::text`;
  }
}

function refuse(node: Comparison, what: string): never {
  throw invalidFilter(`Expected ${what} as the value of ${printPath(node.path)}`, node.position);
}
