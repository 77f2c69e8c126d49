import { describe, expect, it } from '@jest/globals';
import { isAcceptable } from './accept.js';

describe('an Accept header', () => {
  it.each<[string | undefined, boolean]>([
    [undefined, true],
    ['', true],
    ['  ', true],
    ['application/json', true],
    ['Application/JSON; charset=utf-8', true],
    ['application/problem+json', true],
    ['application/*', true],
    ['*/*', true],
    ['text/html, application/xhtml+xml, */*;q=0.8', true],
    ['application/json;q=0.001', true],
    ['text/html', false],
    ['text/*', false],
    ['application/xml', false],
    ['application/jsonp', false],
    ['json', false],
    [';', false],
    ['application/json;q=0', false],
    ['application/json; q=0.000', false],
    ['*/*;q=0', false],
    ['application/json;q=0, */*', false],
    ['*/*;q=0, application/json', true],
    ['application/*;q=0, */*', false],
  ])('%j leaves JSON: %s', (accept, allowed) => expect(isAcceptable(accept)).toBe(allowed));

  it.each<[string, boolean]>([
    ['text/plain', true],
    ['text/*', true],
    ['*/*', true],
    ['application/json', false],
    ['text/html', false],
  ])('%j leaves plain text: %s', (accept, allowed) =>
    expect(isAcceptable(accept, 'text/plain')).toBe(allowed),
  );
});
