import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { DomainError } from '../errors/domain-error.js';
import { parseForm } from './form-body.js';
import { checkBody, checkPath, checkQuery, unknownMembers } from './input.js';
import type { Operation } from './operation.js';

const operation = (more: Partial<Operation> = {}): Operation => ({
  id: 'test',
  summary: '',
  access: 'public',
  ...more,
});
const body = z.strictObject({ name: z.string().min(1), labels: z.record(z.string(), z.string()).optional() });

/** What is refused, in a form to compare. */
function refusal(work: () => unknown) {
  try {
    work();
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    return {
      kind: error.kind,
      code: error.code,
      errors: error.details.errors?.map((fault) => Object.values(fault)[0]),
    };
  }
  throw new Error('nothing was refused');
}

describe('a path', () => {
  it('names nothing where a part of it has a NUL character', () => {
    expect(() => checkPath({ product: 'relay', version: '1.0.0' })).not.toThrow();
    expect(refusal(() => checkPath({ product: 'relay', version: '1.0.0\0' }))).toMatchObject({
      kind: 'not_found',
      code: 'not_found',
    });
  });
});

describe('a query', () => {
  const query = z.strictObject({
    limit: z.string().regex(/^\d+$/).default('5').transform(Number),
    q: z.string().optional(),
  });

  it('is what its schema makes of it', () => {
    expect(checkQuery(operation({ query }), { q: 'x' })).toEqual({ limit: 5, q: 'x' });
    expect(checkQuery(operation(), {})).toEqual({});
  });

  it.each<[string, Record<string, unknown>, string[]]>([
    ['unknown parameters', { a: '1', b: '2' }, ['a', 'b']],
    ['a parameter twice', { q: ['a', 'b'] }, ['q']],
    ['a bad value', { limit: 'x' }, ['limit']],
    ['a NUL character', { q: 'a\0b' }, ['q']],
    ['a NUL character in one of two', { q: ['a', '\0'] }, ['q']],
  ])('is refused for %s', (_, given, errors) => {
    expect(refusal(() => checkQuery(operation({ query }), given))).toEqual({
      kind: 'malformed',
      code: 'invalid_parameter',
      errors,
    });
  });

  it('is refused where none is taken', () => {
    expect(refusal(() => checkQuery(operation(), { x: '1' }))).toEqual({
      kind: 'malformed',
      code: 'invalid_parameter',
      errors: ['x'],
    });
  });
});

describe('a body', () => {
  it.each<[string, unknown, string[]]>([
    ['an unknown member', { name: 'x', other: 1 }, ['#/other']],
    ['a missing member', {}, ['#/name']],
    ['a bad member of a member', { name: 'x', labels: { 'a/b': 1 } }, ['#/labels/a~1b']],
    ['no object', [], ['#']],
    ['nothing', undefined, ['#']],
  ])('is refused with the pointer for %s', (_, given, errors) => {
    expect(refusal(() => checkBody(operation({ body }), given))).toEqual({
      kind: 'invalid',
      code: 'invalid_request',
      errors,
    });
  });

  it('may be absent where every member is optional', () => {
    const optional = operation({
      body: z.strictObject({ reason: z.string().optional() }),
      bodyOptional: true,
    });
    expect(checkBody(optional, undefined)).toEqual({});
    expect(checkBody(optional, null)).toEqual({});
    expect(checkBody(optional, {})).toEqual({});
  });

  it('may be absent or empty where none is taken, and nothing else', () => {
    expect(checkBody(operation(), undefined)).toBeUndefined();
    expect(checkBody(operation(), {})).toBeUndefined();
    expect(refusal(() => checkBody(operation(), { a: 1 })).code).toBe('invalid_request');
    expect(refusal(() => checkBody(operation(), [])).code).toBe('invalid_request');
  });

  it('lists at most fifty faults', () => {
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`m${index}`, 1]));
    expect(refusal(() => checkBody(operation({ body }), { name: 'x', ...many })).errors).toHaveLength(50);
  });

  it('is no form, save where one is due', () => {
    const form = parseForm('name=x');
    expect(refusal(() => checkBody(operation({ body }), form))).toMatchObject({
      kind: 'unsupported_media_type',
    });
    const takesForms = operation({ body, bodyType: 'application/x-www-form-urlencoded' });
    expect(checkBody(takesForms, form)).toEqual({ name: 'x' });
  });
});

describe('a form', () => {
  it('is refused with a field twice', () => {
    expect(refusal(() => parseForm('a=1&b=2&a=3')).code).toBe('invalid_request');
  });

  it('may have fields that are named like what every object has', () => {
    expect(Object.entries(parseForm('constructor=a&__proto__=b&x=%00'))).toEqual([
      ['constructor', 'a'],
      ['__proto__', 'b'],
      ['x', '\0'],
    ]);
  });
});

describe('members that this version does not know', () => {
  const takes = operation({ body: z.object({ name: z.string() }) });

  it('are counted at the top level', () => {
    expect(unknownMembers(takes, { name: 'x', a: 1, b: { c: 2 } })).toBe(2);
    expect(unknownMembers(takes, null)).toBe(0);
    expect(unknownMembers(operation(), { a: 1 })).toBe(0);
  });

  it('are counted also when they are named like what every object has', () => {
    expect(unknownMembers(takes, { constructor: 1, toString: 2 })).toBe(2);
  });
});
