import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DomainError } from '../errors/domain-error.js';
import { type FilterNode, type FilterOperator, printFilter } from './filter-ast.js';
import { parseFilter } from './parse-filter.js';

const a = { kind: 'comparison', path: ['a'], operator: '=', value: '1' } as const;
const b = { ...a, path: ['b'] };
const c = { ...a, path: ['c'] };

/** The tree without positions, which depend on how the filter is written. */
function bare(node: FilterNode): unknown {
  if (node.kind === 'not') return { ...node, operand: bare(node.operand) };
  if ('operands' in node) return { ...node, operands: node.operands.map(bare) };
  const { position, ...rest } = node;
  expect(position).toBeGreaterThanOrEqual(0);
  return rest;
}

function message(text: string): string {
  try {
    parseFilter(text);
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    expect(error).toMatchObject({ kind: 'malformed', code: 'invalid_filter' });
    const [fault] = error.details.errors ?? [];
    expect(fault).toMatchObject({ parameter: 'filter' });
    return fault?.message ?? '';
  }
  throw new Error('was not refused');
}

describe('parseFilter', () => {
  it.each<[string, string, unknown]>([
    ['a comparison', 'a = "1"', a],
    ['no spaces', 'a=1', a],
    ['spaces everywhere', ' \n a \t = \r\n "1" ', a],
    ['single quotes', "a = '1'", a],
    ['escapes', String.raw`a = "x\"\'\\"`, { ...a, value: `x"'\\` }],
    ['a text that is empty', 'a = ""', { ...a, value: '' }],
    [
      'a bare value with what only values may hold',
      'a >= 2026-01-01T00:00:00.5+03:00',
      { ...a, operator: '>=', value: '2026-01-01T00:00:00.5+03:00' },
    ],
    ['a negative number', 'a > -5', { ...a, operator: '>', value: '-5' }],
    ['a negative number without spaces', 'a>-5', { ...a, operator: '>', value: '-5' }],
    ['has', 'a:1', { ...a, operator: ':' }],
    ['presence', 'a:*', { kind: 'presence', path: ['a'] }],
    ['a quoted star', 'a:"*"', { ...a, operator: ':', value: '*' }],
    ['a dotted field', 'labels.site = 1', { ...a, path: ['labels', 'site'] }],
    [
      'a label key of several names',
      'labels.app.kubernetes.io/name = 1',
      { ...a, path: ['labels', 'app', 'kubernetes', 'io/name'] },
    ],
    ['a quoted step', 'labels."x y".\'z\' = 1', { ...a, path: ['labels', 'x y', 'z'] }],
    ['AND', 'a=1 AND b=1 AND c=1', { kind: 'and', operands: [a, b, c] }],
    ['OR', 'a=1 OR b=1', { kind: 'or', operands: [a, b] }],
    ['OR before AND', 'a=1 AND b=1 OR c=1', { kind: 'and', operands: [a, { kind: 'or', operands: [b, c] }] }],
    ['parentheses', '(a=1 AND b=1) OR c=1', { kind: 'or', operands: [{ kind: 'and', operands: [a, b] }, c] }],
    ['parentheses around one', '((a=1))', a],
    ['NOT before OR', 'NOT a=1 OR b=1', { kind: 'or', operands: [{ kind: 'not', operand: a }, b] }],
    ['a minus for NOT', '-a=1', { kind: 'not', operand: a }],
    ['NOT of a group', 'NOT(a=1 OR b=1)', { kind: 'not', operand: { kind: 'or', operands: [a, b] } }],
    ['a minus before a group', '-(a=1)', { kind: 'not', operand: a }],
    [
      'fields that begin like keywords',
      'NOTe=1 AND ORder=1',
      {
        kind: 'and',
        operands: [
          { ...a, path: ['NOTe'] },
          { ...a, path: ['ORder'] },
        ],
      },
    ],
    ['a step that is a keyword', 'labels.AND = 1', { ...a, path: ['labels', 'AND'] }],
  ])('reads %s', (_, text, node) => expect(bare(parseFilter(text))).toEqual(node));

  it('reads the example of the contract', () => {
    const text = 'health = "online" AND labels.site = "msk" AND role = "vpn-exit"';
    expect(parseFilter(text)).toEqual({
      kind: 'and',
      operands: [
        { kind: 'comparison', path: ['health'], operator: '=', value: 'online', position: 0 },
        { kind: 'comparison', path: ['labels', 'site'], operator: '=', value: 'msk', position: 22 },
        { kind: 'comparison', path: ['role'], operator: '=', value: 'vpn-exit', position: 46 },
      ],
    });
  });

  it.each<[string, string, string]>([
    ['an empty filter', '  ', 'Expected a field at position 2'],
    ['a field alone', 'a', 'Expected one of = != < <= > >= : at position 1'],
    ['a missing value', 'a = ', 'Expected a value at position 4'],
    ['a missing field', '= 1', 'Expected a field at position 0'],
    ['two comparisons without a word between', 'a=1 b=1', 'Expected AND, OR or the end at position 4'],
    ['an operand that is missing', 'a=1 AND', 'Expected a field at position 7'],
    ['a keyword in place of a field', 'a=1 AND OR b=1', 'Expected a field at position 8'],
    ['NOT twice', 'NOT NOT a=1', 'Expected a field at position 4'],
    ['an unknown operator', 'a ~ 1', 'Expected one of = != < <= > >= : at position 2'],
    ['two operators', 'a == 1', 'Expected a value at position 3'],
    ['an open parenthesis', '(a=1', 'Expected AND, OR or ")" at position 4'],
    ['a parenthesis too many', 'a=1)', 'Unexpected ")" at position 3'],
    ['an open quote', 'a="1', 'Expected a closing " and only \\" \\\' \\\\ as escapes at position 2'],
    ['an unknown escape', 'a="\\n"', 'Expected a closing " and only \\" \\\' \\\\ as escapes at position 2'],
    ['a dot at the end', 'a. = 1', 'Expected a name after "." at position 3'],
    ['a star with another operator', 'a = *', '"*" needs the operator ":" or quotes at position 4'],
    ['NUL', 'a = "\0"', 'A character that no text may hold at position 5'],
    ['a lone surrogate', 'a = "\ud800"', 'A character that no text may hold at position 5'],
    ['2,001 characters', `a = ${'1'.repeat(1_997)}`, 'More than 2000 characters at position 2000'],
    [
      '21 levels',
      `${'('.repeat(21)}a=1${')'.repeat(21)}`,
      'More than 20 levels of parentheses at position 20',
    ],
    ['51 comparisons', Array(51).fill('a=1').join(' AND '), 'More than 50 comparisons at position 400'],
  ])('refuses %s', (_, text, expected) => expect(message(text)).toBe(expected));

  it('takes a filter at each limit', () => {
    parseFilter(`a = ${'1'.repeat(1_996)}`);
    parseFilter(`${'('.repeat(20)}a=1${')'.repeat(20)}`);
    parseFilter(Array(50).fill('(a=1)').join(' AND '));
  });

  const first = fc
    .stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,5}$/)
    .filter((name) => !['AND', 'OR', 'NOT'].includes(name));
  const text = fc.string({ unit: 'grapheme', maxLength: 8 }).filter((value) => !value.includes('\0'));
  const path = fc.tuple(first, fc.array(text, { maxLength: 2 })).map(([name, rest]) => [name, ...rest]);
  const operator = fc.constantFrom<FilterOperator>('=', '!=', '<', '<=', '>', '>=', ':');
  const comparison = fc.record({
    kind: fc.constant('comparison' as const),
    path,
    operator,
    value: text,
    position: fc.constant(0),
  });
  const presence = fc.record({ kind: fc.constant('presence' as const), path, position: fc.constant(0) });
  const { tree } = fc.letrec<{ tree: FilterNode }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4, depthSize: 'small' },
      comparison,
      presence,
      fc.record({
        kind: fc.constantFrom('and' as const, 'or' as const),
        operands: fc.array(tie('tree'), { minLength: 2, maxLength: 3 }),
      }),
      fc.record({ kind: fc.constant('not' as const), operand: tie('tree') }),
    ),
  }));

  it('reads what is printed as the same tree', () => {
    fc.assert(
      fc.property(tree, (node) => {
        const printed = printFilter(node);
        fc.pre(printed.length <= 2_000);
        expect(bare(parseFilter(printed))).toEqual(bare(node));
      }),
      { numRuns: 500 },
    );
  });

  it('answers any text with a tree or a refusal', () => {
    const pieces = fc.constantFrom(
      'a',
      '.',
      '"',
      "'",
      '\\',
      '(',
      ')',
      ' ',
      'AND',
      'OR',
      'NOT',
      '-',
      '=',
      ':',
      '*',
      '<',
      '1',
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        try {
          parseFilter(parts.join(''));
        } catch {
          message(parts.join(''));
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
