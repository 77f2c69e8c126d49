import { BARE_STEP, type FieldPath, type FilterNode, type FilterOperator } from './filter-ast.js';
import { invalidFilter } from './filter-error.js';

const MAX_LENGTH = 2_000;
const MAX_NESTING = 20;
/** Bounds the statement that a filter becomes. */
const MAX_COMPARISONS = 50;

const SPACE = /[ \t\r\n]*/y;
const KEYWORD = { and: /AND(?![\w.])/y, or: /OR(?![\w.])/y, not: /NOT(?![\w.])/y };
const FIELD = /[A-Za-z_]\w*/y;
const OPERATOR = /!=|<=|>=|[=<>:]/y;
const QUOTED = /"((?:[^"\\]|\\["'\\])*)"|'((?:[^'\\]|\\["'\\])*)'/y;
/** A colon may stand in a bare value, so that RFC 3339 times need no quotes. */
const BARE_VALUE = /[^\s()"'=!<>]+/y;
/** What neither a Postgres text nor UTF-8 can hold. */
const UNSTORABLE = /[\0\p{Surrogate}]/u;

/** Parses the one filter grammar (API.md section 1, "Filters"), a subset of AIP-160:
 *
 *     filter = or-group { "AND" or-group }          OR binds tighter than AND, as AIP-160 has it
 *     or-group = term { "OR" term }
 *     term = [ "NOT" | "-" ] ( "(" filter ")" | field operator value | field ":*" )
 *     operator = "=" | "!=" | "<" | "<=" | ">" | ">=" | ":"
 *
 *  @throws malformed `invalid_filter`, with the position, also beyond 2,000 characters, 20 levels of parentheses or 50
 *  comparisons */
export function parseFilter(text: string): FilterNode {
  if (text.length > MAX_LENGTH) throw invalidFilter(`More than ${MAX_LENGTH} characters`, MAX_LENGTH);
  const unstorable = text.search(UNSTORABLE);
  if (unstorable >= 0) throw invalidFilter('A character that no text may hold', unstorable);
  return new FilterParser(text).parse();
}

class FilterParser {
  private at = 0;
  private nesting = 0;
  private comparisons = 0;

  constructor(private readonly text: string) {}

  parse(): FilterNode {
    const node = this.filter();
    if (this.text[this.at] === ')') throw invalidFilter('Unexpected ")"', this.at);
    if (this.at < this.text.length) throw this.expected('AND, OR or the end');
    return node;
  }

  private filter(): FilterNode {
    return this.group('and', () => this.group('or', () => this.term()));
  }

  private group(kind: 'and' | 'or', operand: () => FilterNode): FilterNode {
    const first = operand();
    const operands = [first];
    while (this.take(KEYWORD[kind]) !== null) operands.push(operand());
    return operands.length === 1 ? first : { kind, operands };
  }

  private term(): FilterNode {
    const negated = this.take(KEYWORD.not) !== null || this.takeCharacter('-');
    const operand = this.takeCharacter('(') ? this.parenthesised() : this.restriction();
    return negated ? { kind: 'not', operand } : operand;
  }

  private parenthesised(): FilterNode {
    this.nesting += 1;
    if (this.nesting > MAX_NESTING)
      throw invalidFilter(`More than ${MAX_NESTING} levels of parentheses`, this.at - 1);
    const node = this.filter();
    if (!this.takeCharacter(')')) throw this.expected('AND, OR or ")"');
    this.nesting -= 1;
    return node;
  }

  private restriction(): FilterNode {
    this.skipSpace();
    const position = this.at;
    const path = this.path();
    this.comparisons += 1;
    if (this.comparisons > MAX_COMPARISONS)
      throw invalidFilter(`More than ${MAX_COMPARISONS} comparisons`, position);
    const operator = this.take(OPERATOR)?.[0] as FilterOperator | undefined;
    if (operator === undefined) throw this.expected('one of = != < <= > >= :');
    const valuePosition = this.at;
    const quoted = this.takeQuoted();
    if (quoted !== null) return { kind: 'comparison', path, operator, value: quoted, position };
    const bare = this.take(BARE_VALUE)?.[0];
    if (bare === undefined) throw this.expected('a value');
    if (bare !== '*') return { kind: 'comparison', path, operator, value: bare, position };
    if (operator !== ':') throw invalidFilter('"*" needs the operator ":" or quotes', valuePosition);
    return { kind: 'presence', path, position };
  }

  private path(): FieldPath {
    if (this.isKeyword()) throw this.expected('a field');
    const first = this.take(FIELD)?.[0];
    if (first === undefined) throw this.expected('a field');
    const path = [first];
    while (this.text[this.at] === '.') {
      this.at += 1;
      const step = this.takeQuoted() ?? this.takeHere(BARE_STEP)?.[0];
      if (step === undefined) throw this.expected('a name after "."');
      path.push(step);
    }
    return path;
  }

  private isKeyword(): boolean {
    const { at } = this;
    const found = Object.values(KEYWORD).some((keyword) => this.take(keyword) !== null);
    this.at = at;
    return found;
  }

  private takeQuoted(): string | null {
    const quoted = this.text[this.at];
    if (quoted !== '"' && quoted !== "'") return null;
    const match = this.takeHere(QUOTED);
    if (match === null) throw this.expected(`a closing ${quoted} and only \\" \\' \\\\ as escapes`);
    return (match[1] ?? match[2] ?? '').replace(/\\(.)/g, '$1');
  }

  private takeCharacter(character: string): boolean {
    this.skipSpace();
    if (this.text[this.at] !== character) return false;
    this.at += 1;
    return true;
  }

  /** Past spaces, the pattern and the spaces behind it. */
  private take(pattern: RegExp): RegExpExecArray | null {
    this.skipSpace();
    const match = this.takeHere(pattern);
    // A field's dots stand right behind it, so spaces after a field are left alone.
    if (match !== null && pattern !== FIELD) this.skipSpace();
    return match;
  }

  private takeHere(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (match !== null) this.at = pattern.lastIndex;
    return match;
  }

  private skipSpace(): void {
    this.takeHere(SPACE);
  }

  private expected(what: string): Error {
    this.skipSpace();
    return invalidFilter(`Expected ${what}`, this.at);
  }
}
