import type { Comparison, FieldPath, FilterNode, FilterOperator } from './filter-ast.js';
import { readInstant, readNumber } from './filter-values.js';

/** Whether something in memory passes the filter, by the rules of `compileFilter`: a comparison with what is absent, or
 *  with a value of another type, is false, and its negation true. Unknown fields are not noticed; where the filter comes
 *  from a caller, compile it once against the list's fields.
 *  @param get the value at a path: a text, number, boolean, Date, array, Set, plain object (of labels), null or undefined */
export function evaluateFilter(node: FilterNode, get: (path: FieldPath) => unknown): boolean {
  switch (node.kind) {
    case 'and':
      return node.operands.every((operand) => evaluateFilter(operand, get));
    case 'or':
      return node.operands.some((operand) => evaluateFilter(operand, get));
    case 'not':
      return !evaluateFilter(node.operand, get);
    case 'presence':
      return isPresent(get(node.path));
    case 'comparison':
      return compare(get(node.path), node);
  }
}

function compare(actual: unknown, { operator, value }: Comparison): boolean {
  if (operator === '!=') return !holds(actual, '=', value);
  return holds(actual, operator, value);
}

function holds(actual: unknown, operator: FilterOperator, value: string): boolean {
  if (actual instanceof Set || Array.isArray(actual)) {
    return (operator === '=' || operator === ':') && [...actual].some((item) => String(item) === value);
  }
  if (actual instanceof Date) return inOrder(actual.getTime(), operator, readInstant(value)?.getTime());
  switch (typeof actual) {
    case 'string':
      return operator === ':' ? actual.includes(value) : operator === '=' && actual === value;
    case 'number':
      return inOrder(actual, operator, readNumber(value));
    case 'boolean':
      return operator === '=' && String(actual) === value;
    case 'object':
      return operator === ':' && actual !== null && Object.hasOwn(actual, value);
    default:
      return false;
  }
}

function inOrder(left: number, operator: FilterOperator, right: number | null | undefined): boolean {
  if (right === null || right === undefined) return false;
  switch (operator) {
    case '=':
      return left === right;
    case '<':
      return left < right;
    case '<=':
      return left <= right;
    case '>':
      return left > right;
    case '>=':
      return left >= right;
    default:
      return false;
  }
}

function isPresent(actual: unknown): boolean {
  if (actual === null || actual === undefined) return false;
  if (actual instanceof Set) return actual.size > 0;
  if (actual instanceof Date || typeof actual !== 'object') return true;
  return Object.keys(actual).length > 0;
}
