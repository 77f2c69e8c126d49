import type { Sql } from 'sql-template-tag';
import type { FilterOperator } from './filter-ast.js';

/** What a field holds: `text`, `number`, `instant` and `boolean` are single values, `enum` a text out of `values`, `set`
 *  an array of texts, `labels` a JSON object of texts, whose members are fields of their own. */
export type FilterFieldType = 'text' | 'enum' | 'number' | 'instant' | 'boolean' | 'labels' | 'set';

/** One field that a filter may name. */
export interface FilterField {
  /** The column or expression; a column that is neither text nor of the field's type is cast here (`id::text`). */
  column: Sql;
  type: FilterFieldType;
  /** The values that exist, where they are known: others are refused, since they would silently match nothing. */
  values?: readonly string[];
  /** Replaces the condition made from `column`, for what is no column; gets a checked value, null for `field:*`. The
   *  result may be NULL where the field has no value, except for `!=`, which is the opposite of `=`. */
  condition?: (operator: FilterOperator, value: string | null) => Sql;
}

/** The fields of one list by name; a name may have dots (`facts.os`). */
export type FilterFields = Readonly<Record<string, FilterField>>;

const EQUALITY: readonly FilterOperator[] = ['=', '!='];
const ORDER: readonly FilterOperator[] = ['=', '!=', '<', '<=', '>', '>='];
const MEMBERSHIP: readonly FilterOperator[] = ['=', '!=', ':'];

/** The operators that make sense for a type. Texts have no order: `"10" < "9"` would surprise. */
export const OPERATORS: Readonly<Record<FilterFieldType, readonly FilterOperator[]>> = {
  text: MEMBERSHIP,
  enum: EQUALITY,
  number: ORDER,
  instant: ORDER,
  boolean: EQUALITY,
  labels: MEMBERSHIP,
  set: MEMBERSHIP,
};
