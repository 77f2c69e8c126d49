import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { calculateJwkThumbprint } from 'jose';
import { HealthWatch } from '../../src/modules/nodes/health-watch.js';
import type { Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, unique } from '../support/given.js';
import { OpenSsl } from '../support/openssl.js';
import { alsoIn } from '../support/second-membership.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

let plane: ControlPlane;
let api: Api;
let openssl: OpenSsl;
beforeAll(async () => {
  plane = await startControlPlane();
  api = plane.api;
  openssl = await OpenSsl.open();
});
afterAll(async () => {
  await plane?.close();
  await openssl?.close();
});

const at = (node: TestNode) => `/clusters/${node.clusterId}/nodes/${node.nodeId}`;

describe('the identity of a node', () => {
  it('is its key, until it is revoked', async () => {
    const node = await admittedNode(plane);
    const answer = await api.get(`${at(node)}/identity`);
    expect(answer.body).toEqual({
      nodeId: node.nodeId,
      clusterId: node.clusterId,
      membershipStatus: 'active',
      keys: [
        {
          id: expect.any(String),
          thumbprint: await calculateJwkThumbprint(node.publicKey),
          publicKey: node.publicKey,
          status: 'active',
          createdAt: expect.stringMatching(/Z$/),
          rotatedAt: null,
          rotatedFrom: null,
          validUntil: null,
          revokedAt: null,
          certificate: null,
        },
      ],
    });
    const etag = answer.headers.get('etag') ?? '';
    expect((await api.get(`${at(node)}/identity`, { 'if-none-match': etag })).status).toBe(304);
    created(await api.post(`${at(node)}/revoke`, { reason: 'Gone.' }));
    expect((await api.get(`${at(node)}/identity`)).body).toMatchObject({
      membershipStatus: 'revoked',
      keys: [{ status: 'revoked', revokedAt: expect.stringMatching(/Z$/) }],
    });
  });

  it('shows the certificate that was last issued, and how it stands', async () => {
    const node = await admittedNode(plane);
    const certificate = async () => (await api.get(`${at(node)}/identity`)).body.keys[0].certificate;
    const ends = (at: string) =>
      plane.database.query(
        `WITH issued AS (UPDATE node_certificates SET not_before = '2026-01-01T00:00:00Z', not_after = $2 WHERE node_id = $1)
         UPDATE node_identities SET certificate_not_before = '2026-01-01T00:00:00Z', certificate_not_after = $2
          WHERE node_id = $1`,
        [node.nodeId, at],
      );
    expect(await certificate()).toBeNull();
    const csr = await openssl.csr();
    const { serial } = created(await (await node.api()).post('/node-agents/me/certificates', { csr })) as {
      serial: string;
    };
    await ends('2026-01-02T00:00:00Z');
    expect(await certificate()).toEqual({
      serial,
      notBefore: '2026-01-01T00:00:00.000Z',
      notAfter: '2026-01-02T00:00:00.000Z',
      status: 'expired',
    });
    await ends('9999-01-01T00:00:00Z');
    expect(await certificate()).toMatchObject({ status: 'active' });
    created(await api.post(`${at(node)}/revoke`, { reason: 'Stolen.' }));
    expect(await certificate()).toMatchObject({ status: 'revoked' });
  });

  it('is one of its own in each cluster', async () => {
    const node = await admittedNode(plane);
    const other = await alsoIn(plane, node, (await given(plane).cluster()).id);
    for (const each of [node, other]) {
      const { keys } = (await api.get(`${at(each)}/identity`)).body;
      expect(keys).toMatchObject([{ publicKey: each.publicKey }]);
    }
  });
});

describe('the timeline of a node', () => {
  interface Entry {
    id: string;
    action: string;
    actor: object;
  }
  const timeline = async (node: TestNode, query = '') =>
    created(await api.get(`${at(node)}/timeline${query}`)) as { items: Entry[]; nextCursor: string | null };

  it('tells what it did and what was done to it, changes of health included', async () => {
    const node = await admittedNode(plane);
    const agent = await node.api();
    await agent.post('/node-agents/me/heartbeat', node.heartbeat());
    await plane.app.get(HealthWatch).sweep();
    await agent.put('/node-agents/me/capabilities', { capabilities: ['can_route_mesh'], facts: {} });
    created(await api.patch(at(node), { labels: { site: 'msk' } }));
    created(await api.post(`${at(node)}/disable`, { reason: 'Maintenance.' }));
    const { items } = await timeline(node);
    expect(items.slice(0, 5).map(({ action }) => action)).toEqual([
      'node.disabled',
      'node.updated',
      // Both of one report: the order within one instant is that of their ids.
      ...items.slice(2, 4).map(({ action }) => action),
      'node.health_changed',
    ]);
    expect(
      items
        .slice(2, 4)
        .map(({ action }) => action)
        .sort(),
    ).toEqual(['node.capabilities_changed', 'node.facts_changed']);
    expect(items[0]).toEqual({
      id: expect.any(String),
      occurredAt: expect.stringMatching(/Z$/),
      action: 'node.disabled',
      actor: { type: 'bootstrap', id: 'bootstrap', displayName: 'Bootstrap token' },
      resource: { type: 'node', id: node.nodeId, name: node.name },
      outcome: 'success',
      reason: 'Maintenance.',
      before: { membershipStatus: 'active' },
      after: { membershipStatus: 'disabled' },
    });
    expect((await api.get(`/audit/events/${items[0]?.id ?? ''}`)).body.action).toBe('node.disabled');
  });

  it('is read page by page, each entry once', async () => {
    const node = await admittedNode(plane);
    for (let ring = 0; ring < 5; ring += 1)
      created(await api.patch(at(node), { labels: { ring: String(ring) } }));
    const all = (await timeline(node)).items.map(({ id }) => id);
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page = await timeline(node, `?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor;
    }
    expect(all.length).toBeGreaterThanOrEqual(5);
    expect(seen).toEqual(all);
  });

  it('holds nothing of another cluster, nor of another node', async () => {
    const node = await admittedNode(plane);
    const other = await alsoIn(plane, node, (await given(plane).cluster()).id);
    const neighbour = await admittedNode(plane, node.clusterId);
    created(await api.post(`${at(other)}/disable`));
    created(await api.post(`${at(neighbour)}/disable`));
    expect((await timeline(node)).items.map(({ action }) => action)).not.toContain('node.disabled');
    expect((await timeline(other)).items.map(({ action }) => action)).toEqual(['node.disabled']);
  });

  it('is for readers of the nodes of this cluster', async () => {
    const node = await admittedNode(plane);
    const elsewhere = (await given(plane).cluster()).id;
    const as = async (permissions: string[], clusterId: string) => {
      const body = { name: unique('token'), permissions, clusterId };
      return api.as((created(await api.post('/api-tokens', body)) as { token: string }).token);
    };
    for (const path of [`${at(node)}/timeline`, `${at(node)}/identity`]) {
      expect((await (await as(['nodes.read'], node.clusterId)).get(path)).status).toBe(200);
      expect((await (await as(['clusters.read'], node.clusterId)).get(path)).status).toBe(403);
      expect((await (await as(['nodes.read'], elsewhere)).get(path)).status).toBe(404);
      expect((await api.get(path.replace(node.clusterId, elsewhere))).status).toBe(404);
    }
  });
});
