import { describe, expect, it } from '@jest/globals';
import { baseUrlFrom, COMMON_OPTIONS, parseOptions } from './command-line.js';

describe('the command line', () => {
  it.each([
    ['http://localhost:8080', 'http://localhost:8080'],
    ['http://localhost:8080/', 'http://localhost:8080'],
    ['HTTPS://Fabric.Example:443/', 'https://fabric.example'],
    ['https://example.org/fabric//', 'https://example.org/fabric'],
  ])('takes %s as audience %s', (text, audience) => expect(baseUrlFrom(text)).toBe(audience));

  it.each(['localhost:8080', 'ftp://host', '', 'http://user@host', 'http://host?x=1', 'http://host#x'])(
    'refuses %p as the URL of a control plane',
    (text) => expect(() => baseUrlFrom(text)).toThrow(/--url must/),
  );

  it.each([
    [['--frob'], "Unknown option '--frob'"],
    [['extra'], "Unexpected argument 'extra'"],
  ])('says in one short line what is wrong with %p', (args, message) => {
    expect(() => parseOptions(args, COMMON_OPTIONS)).toThrow(message);
  });
});
