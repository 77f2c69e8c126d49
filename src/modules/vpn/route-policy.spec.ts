import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { canonicalRoutes, type RoutePolicy, routeFaults } from './route-policy.js';

const allow = (cidr: string, priority = 1): RoutePolicy => ({ cidr, action: 'allow', priority });
const deny = (cidr: string, priority = 1): RoutePolicy => ({ cidr, action: 'deny', priority });

describe('route policies', () => {
  it.each<[string, RoutePolicy[], [number, RegExp][]]>([
    ['of other networks do not meet', [allow('10.0.0.0/8'), deny('192.0.2.0/24')], []],
    [
      'of one network at two priorities overlap and are no fault',
      [allow('10.0.0.0/8', 1), deny('10.0.0.0/8', 2)],
      [],
    ],
    ['of which one lies in the other are no fault', [allow('10.0.0.0/8'), deny('10.1.0.0/16')], []],
    [
      'that are the same are refused',
      [allow('10.0.0.0/8'), allow('10.0.0.0/8')],
      [[1, /same network.*policies\/0/i]],
    ],
    [
      'that contradict each other are refused',
      [allow('10.0.0.0/8'), deny('10.0.0.0/8')],
      [[1, /contradicts.*policies\/0/i]],
    ],
    [
      'are the same in every spelling',
      [allow('2001:db8::/32'), deny('2001:DB8:0:0::/32'), allow('2001:0db8::/32')],
      [
        [1, /contradicts/i],
        [2, /same network/i],
      ],
    ],
    ['of both families never meet', [allow('0.0.0.0/0'), deny('::/0')], []],
    ['that cannot be read are left to others', [allow('nonsense'), allow('nonsense')], []],
  ])('%s', (_, policies, faults) => {
    expect(routeFaults(policies)).toEqual(
      faults.map(([position, message]) => ({ position, message: expect.stringMatching(message) })),
    );
  });

  const cidrs = fc.constantFrom('10.0.0.0/8', '10.1.0.0/16', '::/0', '2001:db8::/32', '2001:DB8::/32');
  const policies = fc.array(
    fc.record({
      cidr: cidrs,
      action: fc.constantFrom('allow' as const, 'deny' as const),
      priority: fc.nat(2),
    }),
  );

  it('have as many faults as there are policies beyond the first of each network and priority', () => {
    fc.assert(
      fc.property(policies, (list) => {
        const distinct = new Set(canonicalRoutes(list).map(({ cidr, priority }) => `${cidr} ${priority}`));
        expect(routeFaults(list)).toHaveLength(list.length - distinct.size);
      }),
    );
  });
});
