/** How a field is compared. `:` means "has": a text contains the value, a set or a map has it as a member. */
export type FilterOperator = '=' | '!=' | '<' | '<=' | '>' | '>=' | ':';

/** Dotted steps to what is compared: `['labels', 'site']`. */
export type FieldPath = readonly string[];

/** `health = "online"`. Values are texts; the field's type says what they mean. */
export interface Comparison {
  kind: 'comparison';
  path: FieldPath;
  operator: FilterOperator;
  value: string;
  /** Where the field begins in the filter, counted from 0, for messages. */
  position: number;
}

/** `labels.site:*`: the field has a value at all. */
export interface Presence {
  kind: 'presence';
  path: FieldPath;
  position: number;
}

/** A parsed filter; `and` and `or` have two operands or more. */
export type FilterNode =
  | { kind: 'and' | 'or'; operands: readonly FilterNode[] }
  | { kind: 'not'; operand: FilterNode }
  | Comparison
  | Presence;

/** A step that needs no quotes when it is not the first: a label key such as `app.kubernetes.io/name` is three of them. */
export const BARE_STEP = /[A-Za-z0-9_][A-Za-z0-9_/-]*/y;

/** The filter as text, which parses to the same tree. */
export function printFilter(node: FilterNode): string {
  switch (node.kind) {
    case 'and':
    case 'or':
      return node.operands.map(printOperand).join(node.kind === 'and' ? ' AND ' : ' OR ');
    case 'not':
      return `NOT ${printOperand(node.operand)}`;
    case 'presence':
      return `${printPath(node.path)}:*`;
    case 'comparison':
      return `${printPath(node.path)} ${node.operator} ${quote(node.value)}`;
  }
}

/** A field path as it is written in a filter. */
export function printPath(path: FieldPath): string {
  return path.map((step, index) => (index === 0 || isBare(step) ? step : quote(step))).join('.');
}

function printOperand(node: FilterNode): string {
  const isSingle = node.kind === 'comparison' || node.kind === 'presence';
  return isSingle ? printFilter(node) : `(${printFilter(node)})`;
}

function isBare(step: string): boolean {
  BARE_STEP.lastIndex = 0;
  return BARE_STEP.test(step) && BARE_STEP.lastIndex === step.length;
}

function quote(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}
