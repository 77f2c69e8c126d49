import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

const limits = { unknownCredentialsPerMinute: 10_000, principalPerMinute: 100_000, nodePerMinute: 100_000 };

let controlPlane: ControlPlane;
let node: TestNode;
beforeAll(async () => {
  controlPlane = await startControlPlane({ config: { limits } });
  node = await admittedNode(controlPlane);
});
afterAll(() => controlPlane?.close());

describe('a node with a valid key', () => {
  it.each([
    ['a NUL character', '\u0000'],
    ['half of a surrogate pair', '\ud800'],
    ['a number', 7],
    ['257 characters', 'x'.repeat(257)],
    ['nothing', ''],
  ])('gets no token for an assertion whose jti is %s', async (_, jti) => {
    const answer = await node.requestToken(
      await node.assertion(node.nodeId, { cluster: node.clusterId, jti }),
    );
    expect({ status: answer.status, error: answer.body.error }).toEqual({
      status: 401,
      error: 'invalid_client',
    });
  });

  it.each([
    ['far in the future', { iat: 1e300, exp: 1e300 + 60 }],
    ['negative', { iat: -1e300, exp: -1 }],
    ['no numbers', { iat: '1', exp: '2' }],
    ['arrays', { iat: [1], exp: [2] }],
  ])('gets no token for an assertion whose times are %s', async (_, times) => {
    const answer = await node.requestToken(await node.sign({ ...claims(), ...times }));
    expect({ status: answer.status, error: answer.body.error }).toEqual({
      status: 401,
      error: 'invalid_client',
    });
  });

  it('gets no token for claims that are no object', async () => {
    for (const payload of [null, [], 'text', 7, { sub: { a: 1 }, cluster: [] }]) {
      const answer = await node.requestToken(await node.sign(payload as Record<string, unknown>));
      expect({ status: answer.status, error: answer.body.error }).toEqual({
        status: 401,
        error: 'invalid_client',
      });
    }
  });

  it('may report numbers as small as they come', async () => {
    const api = await node.api();
    const tiny = { one: 1e-50, five: 5e-324, fifteen: 0 };
    const answer = await api.post(
      '/node-agents/me/heartbeat',
      node.heartbeat({ load: tiny, uptimeSeconds: 5e-324 }),
    );
    expect(answer.status).toBe(200);
  });

  it('may report the largest numbers that there are, and no larger ones', async () => {
    const api = await node.api();
    const most = Number.MAX_SAFE_INTEGER;
    const memory = { totalBytes: most, usedBytes: most };
    expect(
      (await api.post('/node-agents/me/heartbeat', node.heartbeat({ memory, appliedGeneration: most })))
        .status,
    ).toBe(200);
    const beyond = { ...node.heartbeat(), appliedGeneration: most + 1 };
    expect((await api.post('/node-agents/me/heartbeat', beyond)).status).toBe(422);
    const facts = { os: 'linux', arch: 'x64', hostname: 'h', tiny: 1e-320, huge: 1.7e308 };
    const report = { capabilities: [], facts };
    expect(await api.put('/node-agents/me/capabilities', report)).toMatchObject({
      status: 200,
      body: report,
    });
  });

  it('is refused in the very next call after it was revoked', async () => {
    const { id } = await given(controlPlane).cluster();
    for (let round = 0; round < 8; round += 1) {
      const victim = await admittedNode(controlPlane, id, { name: unique('victim') });
      const api = await victim.api();
      const snapshot = await api.get('/node-agents/me/snapshot');
      const etag = { 'if-none-match': snapshot.headers.get('etag') ?? '' };
      expect((await api.get('/node-agents/me/snapshot', etag)).status).toBe(304);
      created(
        await controlPlane.api.post(`/clusters/${id}/nodes/${victim.nodeId}/revoke`, { reason: 'Stolen.' }),
      );
      expect((await api.get('/node-agents/me/snapshot', etag)).status).toBe(401);
      expect((await api.get('/node-agents/me/snapshot')).status).toBe(401);
      expect((await api.put('/node-agents/me/capabilities', { capabilities: [], facts: {} })).status).toBe(
        401,
      );
      expect((await api.post('/node-agents/me/heartbeat', victim.heartbeat())).status).toBe(401);
      expect((await victim.requestToken()).status).toBe(401);
    }
  });

  it('is revoked while the policy of its cluster changes, without either waiting for the other in a circle', async () => {
    const { id } = await given(controlPlane).cluster();
    const victims = await Promise.all(Array.from({ length: 6 }, () => admittedNode(controlPlane, id)));
    for (const { nodeId } of victims)
      created(await controlPlane.api.post(`/clusters/${id}/role-assignments`, { nodeId, role: 'core-mesh' }));
    const deadlocks = async () =>
      (
        await controlPlane.database.query<{ count: number }>(
          'SELECT deadlocks::int AS count FROM pg_stat_database WHERE datname = current_database()',
        )
      )[0]?.count;
    const before = await deadlocks();
    const answers = await Promise.all([
      ...victims.map(({ nodeId }) =>
        controlPlane.api.post(`/clusters/${id}/nodes/${nodeId}/revoke`, { reason: 'Stolen.' }),
      ),
      ...Array.from({ length: 6 }, (_, round) =>
        controlPlane.api.put(`/clusters/${id}/policy`, {
          capabilityPolicy: { denied: round % 2 === 0 ? ['can_route_mesh'] : [] },
          degradedGraceSeconds: 60 + round,
        }),
      ),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(await deadlocks()).toBe(before);
  });
});

function claims(): Record<string, unknown> {
  const now = Math.floor(Date.now() / 1000);
  return {
    iss: node.nodeId,
    sub: node.nodeId,
    aud: controlPlane.url,
    jti: unique('jti'),
    iat: now,
    exp: now + 60,
    cluster: node.clusterId,
  };
}
