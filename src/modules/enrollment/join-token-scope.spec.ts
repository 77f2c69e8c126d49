import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  defaultRoles,
  type JoinTokenScope,
  matchesGlob,
  outsideScope,
  type ScopedGrant,
} from './join-token-scope.js';

const group = '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21';
const other = '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c22';

describe('outsideScope', () => {
  it.each<[string, JoinTokenScope, ScopedGrant, string[]]>([
    ['an empty scope limits nothing', {}, { nodeName: 'a', roles: ['vpn-exit'], groupId: group }, []],
    ['a role of the scope is inside', { roles: ['vpn-exit'] }, { nodeName: 'a', roles: ['vpn-exit'] }, []],
    ['no role at all is inside', { roles: ['vpn-exit'] }, { nodeName: 'a', roles: [] }, []],
    ['another role is outside', { roles: ['vpn-exit'] }, { nodeName: 'a', roles: ['relay-node'] }, ['roles']],
    ['a scope without roles allows none', { roles: [] }, { nodeName: 'a', roles: ['vpn-exit'] }, ['roles']],
    ['a matching name is inside', { nodeNamePattern: 'edge-*' }, { nodeName: 'edge-1', roles: [] }, []],
    [
      'another name is outside',
      { nodeNamePattern: 'edge-*' },
      { nodeName: 'core-1', roles: [] },
      ['nodeName'],
    ],
    [
      'the group of the scope is inside',
      { groupId: group },
      { nodeName: 'a', roles: [], groupId: group },
      [],
    ],
    [
      'another group is outside',
      { groupId: group },
      { nodeName: 'a', roles: [], groupId: other },
      ['groupId'],
    ],
    [
      'no group is outside a scope with one',
      { groupId: group },
      { nodeName: 'a', roles: [], groupId: null },
      ['groupId'],
    ],
    ['a request names no group', { groupId: group }, { nodeName: 'a', roles: [] }, []],
    [
      'all that is outside is named',
      { roles: [], groupId: group, nodeNamePattern: 'x' },
      { nodeName: 'a', roles: ['vpn-exit'], groupId: other },
      ['nodeName', 'roles', 'groupId'],
    ],
  ])('%s', (_, scope, grant, members) => {
    expect(outsideScope(scope, grant).map(({ member }) => member)).toEqual(members);
  });
});

describe('matchesGlob', () => {
  it.each<[string, string, boolean]>([
    ['edge-1', 'edge-1', true],
    ['edge-1', 'edge-12', false],
    ['edge-?', 'edge-1', true],
    ['edge-?', 'edge-', false],
    ['*', '', true],
    ['*', 'anything', true],
    ['a*b*c', 'aXbYc', true],
    ['a*b*c', 'aXcYb', false],
    ['a.c', 'abc', false],
    ['*-1', 'edge-1', true],
    ['*-1', 'edge-11', false],
    ['**?', 'a', true],
    ['**?', '', false],
  ])('%s against %s is %s', (pattern, text, matches) => {
    expect(matchesGlob(pattern, text)).toBe(matches);
  });

  it('agrees with the regular expression that means the same', () => {
    const letters = (alphabet: string) => fc.string({ unit: fc.constantFrom(...alphabet), maxLength: 8 });
    fc.assert(
      fc.property(letters('ab*?.'), letters('ab.'), (pattern, text) => {
        const meaning = pattern.replaceAll('.', '\\.').replaceAll('?', '.').replaceAll('*', '.*');
        expect(matchesGlob(pattern, text)).toBe(new RegExp(`^${meaning}$`).test(text));
      }),
    );
  });

  it('does not stall on a pattern made to make it', () => {
    expect(matchesGlob(`${'a*'.repeat(31)}b`, 'a'.repeat(63))).toBe(false);
  });
});

describe('defaultRoles', () => {
  it.each<[string, JoinTokenScope, string[], string[], string[]]>([
    ['gives nothing where the token names no roles', {}, ['vpn-exit'], ['can_run_vpn_exit'], []],
    [
      'gives what both token and node name',
      { roles: ['vpn-exit', 'relay-node'] },
      ['vpn-exit'],
      ['can_run_vpn_exit'],
      ['vpn-exit'],
    ],
    ['gives nothing that the node does not ask for', { roles: ['vpn-exit'] }, [], ['can_run_vpn_exit'], []],
    ['gives nothing that the node cannot do', { roles: ['vpn-exit'] }, ['vpn-exit'], [], []],
    ['passes over roles that do not exist', { roles: ['vpn-exit'] }, ['nonsense'], [], []],
  ])('%s', (_, scope, requested, usable, roles) => {
    expect(defaultRoles(scope, requested, usable)).toEqual(roles);
  });
});
