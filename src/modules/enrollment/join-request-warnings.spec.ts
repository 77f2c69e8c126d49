import { describe, expect, it } from '@jest/globals';
import type { JoinRequest } from './join-request.js';
import { joinRequestWarnings, type Surroundings } from './join-request-warnings.js';

const clusterId = '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c22';
const elsewhere = '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c99';
const request = {
  clusterId,
  nodeName: 'edge-1',
  reportedCapabilities: ['can_run_vpn_exit'],
  requestedRoles: ['vpn-exit'],
  clockSkewSeconds: 60,
  agentVersion: '1.4.0',
} as JoinRequest;
const nothing: Surroundings = {
  keyEnrolledIn: [],
  sameMachine: [],
  nameTaken: false,
  deniedCapabilities: [],
  scopeRoles: undefined,
  agentVersionPolicy: {},
};

describe('joinRequestWarnings', () => {
  it.each<[string, Partial<JoinRequest>, Partial<Surroundings>, string[]]>([
    ['nothing is worth a warning', {}, {}, []],
    ['the key is enrolled already', {}, { keyEnrolledIn: [elsewhere] }, ['same_key_enrolled']],
    [
      'the machine is a member already',
      {},
      { sameMachine: [{ clusterId, name: 'edge-0' }] },
      ['same_machine_id'],
    ],
    ['the name is taken', {}, { nameTaken: true }, ['name_taken']],
    ['the clock is more than 60 s ahead', { clockSkewSeconds: 60.1 }, {}, ['clock_skew']],
    ['the clock is more than 60 s behind', { clockSkewSeconds: -60.1 }, {}, ['clock_skew']],
    ['a role needs what the node cannot do', { requestedRoles: ['relay-node'] }, {}, ['capability_missing']],
    [
      'a role needs what the policy denies',
      {},
      { deniedCapabilities: ['can_run_vpn_exit'] },
      ['capability_denied'],
    ],
    [
      'the policy wants a newer agent',
      {},
      { agentVersionPolicy: { minimum: '1.4.1' } },
      ['agent_version_blocked'],
    ],
    ['a role does not exist', { requestedRoles: ['nonsense'] }, {}, ['role_unknown']],
    [
      'the node can do more than its token is for',
      {},
      { scopeRoles: ['relay-node'] },
      ['capability_outside_scope'],
    ],
    ['the node can do what its token is for', {}, { scopeRoles: ['vpn-exit'] }, []],
    [
      'what no role needs is outside no scope',
      { reportedCapabilities: ['can_run_vpn_exit', 'can_egress_internet'] },
      { scopeRoles: ['vpn-exit'] },
      [],
    ],
  ])('%s', (_, change, around, codes) => {
    const warnings = joinRequestWarnings({ ...request, ...change }, { ...nothing, ...around });
    expect(warnings.map(({ code }) => code)).toEqual(codes);
  });

  it('does not name another cluster or its nodes to a reviewer who may not know of them', () => {
    const around = {
      ...nothing,
      keyEnrolledIn: [elsewhere],
      sameMachine: [{ clusterId: elsewhere, name: 'secret-1' }],
    };
    const told = joinRequestWarnings(request, around)
      .map(({ detail }) => detail)
      .join(' ');
    expect(told).not.toContain(elsewhere);
    expect(told).not.toContain('secret-1');
  });
});
