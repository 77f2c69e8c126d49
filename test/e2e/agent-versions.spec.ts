import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compare, parse } from 'semver';
import { blockedAgentVersion } from '../../src/modules/clusters/agent-version-policy.js';
import type { Api } from '../support/api.js';
import { Applicant } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given } from '../support/given.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

let plane: ControlPlane;
let api: Api;
beforeAll(async () => {
  plane = await startControlPlane();
  api = plane.api;
});
afterAll(() => plane?.close());

const number = fc.oneof(fc.nat(12), fc.nat(), fc.constantFrom(999_999_999_999_999));
const word = fc
  .string({ unit: fc.constantFrom(...'0aAzZ-9'), minLength: 1, maxLength: 4 })
  .filter((text) => /[a-zA-Z-]/.test(text));
const identifier = fc.oneof(number.map(String), word, fc.constantFrom('alpha', 'rc', 'x-y'));
const version = fc
  .record({
    core: fc.tuple(number, number, number),
    pre: fc.array(identifier, { maxLength: 4 }),
    build: fc.constantFrom('', '', '+b.1', '+0-0'),
  })
  .map(({ core, pre, build }) => `${core.join('.')}${pre.length === 0 ? '' : `-${pre.join('.')}`}${build}`);
const anyText = fc.oneof(
  version,
  version.map((text) => `v${text}`),
  fc.constantFrom(
    '',
    '1',
    '1.2',
    '01.2.3',
    '1.2.3-',
    '1.2.3-01',
    '1.2.3.4',
    'dev',
    '=1.2.3',
    '1.2.3-a..b',
    '1.2.3+',
  ),
  fc.string({ maxLength: 12 }).filter((text) => text === text.trim() && !text.includes('\0')),
);

async function inSql<T>(expression: string, texts: readonly string[], ...more: unknown[]): Promise<T[]> {
  const rows = await plane.database.query<{ value: T }>(
    `SELECT ${expression} AS value FROM unnest($1::text[]) WITH ORDINALITY AS t (text, place) ORDER BY place`,
    [texts, ...more],
  );
  return rows.map(({ value }) => value);
}

describe('the order of versions in SQL', () => {
  it('is that of the library, for every pair of versions', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(version, { minLength: 2, maxLength: 60 }), async (versions) => {
        const orders = await inSql<string>('version_order(text)', versions);
        for (const [index, one] of versions.entries())
          for (const [place, other] of versions.entries()) {
            const [left, right] = [orders[index] ?? '', orders[place] ?? ''];
            const sign = left < right ? -1 : left > right ? 1 : 0;
            expect({ one, other, sign }).toEqual({ one, other, sign: compare(one, other) });
          }
      }),
      { numRuns: 20 },
    );
  });

  it('knows the same texts for versions', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyText, { minLength: 1, maxLength: 80 }), async (texts) => {
        const orders = await inSql<string | null>('version_order(text)', texts);
        expect(texts.filter((_, index) => orders[index] !== null)).toEqual(
          texts.filter((text) => parse(text) !== null),
        );
      }),
      { numRuns: 30 },
    );
  });

  it('comes to the same verdict on any version under any policy as the rule does', async () => {
    const policies = fc.record(
      { minimum: version.map(withoutBuild), blocked: fc.array(version.map(withoutBuild), { maxLength: 3 }) },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(
        policies,
        fc.array(anyText, { minLength: 1, maxLength: 30 }),
        async (policy, texts) => {
          const all = [...texts, ...(policy.blocked ?? []), ...(policy.minimum ? [policy.minimum] : [])];
          const { id } = await given(plane).cluster();
          await plane.database.query(
            'UPDATE cluster_policies SET agent_version_policy = $2 WHERE cluster_id = $1',
            [id, policy],
          );
          await plane.database.query(
            `WITH host AS (INSERT INTO nodes (id) SELECT gen_random_uuid() FROM unnest($2::text[]) RETURNING id),
                numbered AS (SELECT id, row_number() OVER () AS place FROM host)
           INSERT INTO cluster_memberships (cluster_id, node_id, name, os, arch, agent_version)
           SELECT $1, h.id, 'n' || h.place, 'linux', 'x64', t.text
             FROM numbered AS h JOIN unnest($2::text[]) WITH ORDINALITY AS t (text, place) USING (place)`,
            [id, all],
          );
          const { items } = (await api.get(`/clusters/${id}/nodes?limit=200`)).body;
          const judged = items.map(({ agentVersion, riskyStates }: NodeBody) => [
            agentVersion,
            riskyStates.length > 0,
          ]);
          const expected = items.map(({ agentVersion }: NodeBody) => [
            agentVersion,
            blockedAgentVersion(policy, agentVersion) !== null,
          ]);
          expect(judged).toEqual(expected);
        },
      ),
      { numRuns: 12 },
    );
  });
});

interface NodeBody {
  agentVersion: string;
  riskyStates: string[];
  health: string;
}

const setPolicy = async (clusterId: string, agentVersionPolicy: Record<string, unknown>) =>
  created(await api.put(`/clusters/${clusterId}/policy`, { agentVersionPolicy }));
const nodeOf = async ({ clusterId, nodeId }: TestNode): Promise<NodeBody> =>
  (await api.get(`/clusters/${clusterId}/nodes/${nodeId}`)).body;
const beat = async (node: TestNode, agentVersion: string) =>
  created(await (await node.api()).post('/node-agents/me/heartbeat', node.heartbeat({ agentVersion })));

describe('the policy of agent versions', () => {
  it('is empty at first, and comes back as it was given', async () => {
    const { id } = await given(plane).cluster();
    expect((await api.get(`/clusters/${id}/policy`)).body.agentVersionPolicy).toEqual({});
    const agentVersionPolicy = { minimum: '1.4.0', blocked: ['1.5.1', '2.0.0-rc.1'] };
    await setPolicy(id, agentVersionPolicy);
    expect((await api.get(`/clusters/${id}/policy`)).body.agentVersionPolicy).toEqual(agentVersionPolicy);
    created(await api.put(`/clusters/${id}/policy`, {}));
    expect((await api.get(`/clusters/${id}/policy`)).body.agentVersionPolicy).toEqual({});
  });

  it.each<[string, unknown, string]>([
    ['a minimum that is no version', { minimum: '1.4' }, '#/agentVersionPolicy/minimum'],
    ['a range', { minimum: '>=1.4.0' }, '#/agentVersionPolicy/minimum'],
    ['a version with a v', { blocked: ['v1.4.0'] }, '#/agentVersionPolicy/blocked/0'],
    ['build metadata', { blocked: ['1.4.0+7'] }, '#/agentVersionPolicy/blocked/0'],
    ['a version twice', { blocked: ['1.4.0', '1.4.0'] }, '#/agentVersionPolicy/blocked'],
    ['an unknown member', { maximum: '2.0.0' }, '#/agentVersionPolicy/maximum'],
  ])('refuses %s', async (_, agentVersionPolicy, pointer) => {
    const { id } = await given(plane).cluster();
    const answer = await api.put(`/clusters/${id}/policy`, { agentVersionPolicy });
    expect(answer.status).toBe(422);
    expect(answer.body.errors).toContainEqual(expect.objectContaining({ pointer }));
  });

  it('makes a member that runs a blocked version a risk, from the moment that either changes', async () => {
    const node = await admittedNode(plane);
    const path = `/clusters/${node.clusterId}`;
    await beat(node, '1.4.0');
    expect(await nodeOf(node)).toMatchObject({ riskyStates: [], health: 'online' });
    await setPolicy(node.clusterId, { blocked: ['1.4.0'] });
    expect(await nodeOf(node)).toMatchObject({ riskyStates: ['agent_version_blocked'], health: 'degraded' });
    expect((await api.get(`${path}/summary`)).body).toMatchObject({
      nodes: { degraded: 1, online: 0 },
      riskyStates: [{ kind: 'agent_version_blocked', resource: { id: node.nodeId }, severity: 'critical' }],
    });
    const filtered = await api.get(
      `${path}/nodes?filter=${encodeURIComponent('riskyState = "agent_version_blocked"')}`,
    );
    expect(filtered.body.items).toHaveLength(1);
    await beat(node, '1.4.1');
    expect(await nodeOf(node)).toMatchObject({ riskyStates: [], health: 'online' });
    await setPolicy(node.clusterId, { minimum: '1.5.0' });
    expect((await nodeOf(node)).riskyStates).toEqual(['agent_version_blocked']);
    await beat(node, 'nightly');
    expect((await nodeOf(node)).riskyStates).toEqual(['agent_version_blocked']);
    await beat(node, '1.5.0');
    expect((await nodeOf(node)).riskyStates).toEqual([]);
  });

  it('warns the reviewer, who may admit the host all the same', async () => {
    const { id } = await given(plane).cluster();
    await setPolicy(id, { minimum: '0.2.0' });
    const { token } = await given(plane).joinToken(id);
    const { joinRequestId } = (await new Applicant(plane.url).enroll(token)).body;
    const path = `/clusters/${id}/join-requests/${joinRequestId}`;
    expect((await api.get(path)).body.warnings).toEqual([
      { code: 'agent_version_blocked', detail: expect.stringContaining('0.1.0') },
    ]);
    expect((await api.post(`${path}/approve`)).status).toBe(200);
    const events = await api.get(`/audit/events?resourceId=${joinRequestId}&action=join_request.approved`);
    expect(events.body.items[0].after.warnings).toEqual(['agent_version_blocked']);
  });

  it('leaves to a reviewer what a token would have admitted by itself', async () => {
    const { id } = await given(plane).cluster();
    await setPolicy(id, { blocked: ['0.1.0'] });
    const input = { autoApprove: true, maxUses: 2, scope: { roles: ['vpn-exit'] } };
    const { token } = await given(plane).joinToken(id, input);
    const old = new Applicant(plane.url);
    expect((await old.enroll(token)).body.status).toBe('pending');
    expect((await old.enroll(token, { body: { agentVersion: '0.1.1' } })).body.status).toBe('pending');
    const fresh = await new Applicant(plane.url).enroll(token, { body: { agentVersion: '0.1.1' } });
    expect(fresh.body.status).toBe('approved');
  });
});

function withoutBuild(text: string): string {
  return text.replace(/\+.*$/, '');
}
