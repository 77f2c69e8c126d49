import { type DomainError, malformed } from '../errors/domain-error.js';
import { jsonPointer } from '../json/json-pointer.js';

const WORD = /true|false|null/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Far below the 309 digits of the largest double. */
const SMALL_INTEGER_DIGITS = 20;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ZERO = 0x30;
const NINE = 0x39;
const POINT = 0x2e;
const LOWER_E = 0x65;
const UPPER_E = 0x45;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Why well-formed JSON is not taken. */
type RefusalCode = 'json_too_deep' | 'duplicate_key' | 'forbidden_key' | 'invalid_string' | 'invalid_number';

/** An array or object that is open at the scanner's position. */
interface Frame {
  /** Names seen so far; null for an array. */
  names: Set<string> | null;
  /** Member or element being read, for pointers. */
  step: string | number;
  count: number;
}

/** Reads a JSON text (RFC 8259) once, without recursion and without building values, and refuses what
 *  `JSON.parse` would refuse and what it would let through silently: deep nesting, repeated names, `__proto__`,
 *  strings that no database text or UTF-8 can hold, and numbers that become infinite. */
export class JsonScanner {
  private position = 0;
  private readonly open: Frame[] = [];

  constructor(
    private readonly text: string,
    private readonly maxDepth: number,
    /** Whether a lone surrogate may stand outside an escape too: not in a text decoded from valid UTF-8. */
    private readonly checkEveryString: boolean,
  ) {}

  /** @throws malformed `malformed_json`, `json_too_deep`, `duplicate_key`, `forbidden_key`, `invalid_string`,
   *  `invalid_number` */
  scan(): void {
    this.value();
    for (;;) {
      const frame = this.open[this.open.length - 1];
      if (frame === undefined) break;
      this.next(frame);
    }
    this.skipSpace();
    if (this.position < this.text.length) throw this.syntax('expected the end of the text');
  }

  /** One step inside an open container: its end, or one further element or member. */
  private next(frame: Frame): void {
    const end = frame.names === null ? CLOSE_ARRAY : CLOSE_OBJECT;
    const code = this.peek();
    if (code === end) {
      this.position += 1;
      this.open.pop();
      return;
    }
    if (frame.count > 0) {
      if (code !== COMMA)
        throw this.syntax(frame.names === null ? "expected ',' or ']'" : "expected ',' or '}'");
      this.position += 1;
    }
    if (frame.names === null) frame.step = frame.count;
    else this.name(frame, frame.names);
    frame.count += 1;
    this.value();
  }

  private name(frame: Frame, names: Set<string>): void {
    if (this.peek() !== QUOTE) throw this.syntax('expected a name in double quotes');
    const start = this.position;
    const escaped = this.string(true);
    const raw = this.text.slice(start, this.position);
    const name: string = escaped ? JSON.parse(raw) : raw.slice(1, -1);
    frame.step = name;
    if (name === '__proto__')
      throw this.refuse('forbidden_key', 'The name "__proto__" is not allowed', start);
    if (names.has(name))
      throw this.refuse('duplicate_key', 'The same name stands twice in one object', start);
    names.add(name);
    if (this.peek() !== COLON) throw this.syntax("expected ':'");
    this.position += 1;
  }

  private value(): void {
    const code = this.peek();
    if (code === QUOTE) {
      this.string(false);
    } else if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
      if (this.open.length === this.maxDepth) {
        throw this.refuse('json_too_deep', `Nested deeper than ${this.maxDepth} levels`, this.position, []);
      }
      this.open.push({ names: code === OPEN_OBJECT ? new Set() : null, step: 0, count: 0 });
      this.position += 1;
    } else if (!this.accept(WORD)) {
      this.number();
    }
  }

  private number(): void {
    if (this.acceptSmallInteger()) return;
    const start = this.position;
    if (!this.accept(NUMBER)) throw this.syntax('expected a value');
    const number = Number(this.text.slice(start, this.position));
    if (!Number.isFinite(number)) throw this.refuse('invalid_number', 'The number is too large', start);
  }

  /** The common case without a regular expression, which costs several times as much on a body full of numbers. */
  private acceptSmallInteger(): boolean {
    const { text, position } = this;
    const first = text.charCodeAt(position);
    if (!(first > ZERO && first <= NINE)) return false;
    let at = position + 1;
    while (text.charCodeAt(at) >= ZERO && text.charCodeAt(at) <= NINE) at += 1;
    const after = text.charCodeAt(at);
    if (after === POINT || after === LOWER_E || after === UPPER_E || at - position > SMALL_INTEGER_DIGITS)
      return false;
    this.position = at;
    return true;
  }

  /** Moves past a string; true when it holds an escape. */
  private string(isName: boolean): boolean {
    const { text } = this;
    const start = this.position;
    let escaped = false;
    let suspect = this.checkEveryString;
    let at = start + 1;
    for (let code = text.charCodeAt(at); code !== QUOTE; code = text.charCodeAt(at)) {
      if (code === BACKSLASH) {
        this.position = at;
        if (!this.accept(ESCAPE)) throw this.syntax('expected a valid escape');
        escaped = true;
        suspect ||= this.position - at > 2;
        at = this.position;
      } else if (code >= 0x20) {
        at += 1;
      } else {
        this.position = at;
        throw this.syntax(
          at < text.length ? 'control characters must be escaped' : 'the string does not end',
        );
      }
    }
    this.position = at + 1;
    if (suspect) this.checkCharacters(start, isName);
    return escaped;
  }

  private checkCharacters(start: number, isName: boolean): void {
    const value: string = JSON.parse(this.text.slice(start, this.position));
    const fault = value.includes('\0')
      ? 'a NUL character'
      : LONE_SURROGATE.test(value)
        ? 'half of a surrogate pair'
        : null;
    if (fault === null) return;
    const what = isName ? 'The name of a member' : 'A string';
    const path = this.path(isName ? -1 : undefined); // a bad name cannot be a part of the pointer
    throw this.refuse('invalid_string', `${what} holds ${fault}`, start, path);
  }

  /** The next character that is not space, as its code; NaN at the end. */
  private peek(): number {
    this.skipSpace();
    return this.text.charCodeAt(this.position);
  }

  private skipSpace(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.position);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.position += 1;
    }
  }

  private accept(pattern: RegExp): boolean {
    pattern.lastIndex = this.position;
    if (!pattern.test(this.text)) return false;
    this.position = pattern.lastIndex;
    return true;
  }

  private path(end?: number): PropertyKey[] {
    return this.open.slice(0, end).map((frame) => frame.step);
  }

  /** An error about well-formed JSON that this service does not take. */
  private refuse(code: RefusalCode, what: string, position: number, path = this.path()): DomainError {
    const pointer = jsonPointer(path);
    const message = `${what}, at ${this.place(position)}.`;
    return malformed(code, `The JSON text is refused: ${message}`, { errors: [{ pointer, message }] });
  }

  private syntax(what: string): DomainError {
    return malformed(
      'malformed_json',
      `The text is not valid JSON: ${what} at ${this.place(this.position)}.`,
    );
  }

  private place(position: number): string {
    const before = this.text.slice(0, position);
    const line = before.split('\n').length;
    return `line ${line} column ${position - before.lastIndexOf('\n')} (position ${position})`;
  }
}
