import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Answer, Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, unique } from '../support/given.js';
import { type Lease, stopClock, type VpnNode, VpnStage, type VpnTunnel } from '../support/vpn.js';

const SEQUENCES = 2 ** 32;
const limits = { principalPerMinute: 100_000, nodePerMinute: 100_000, unknownCredentialsPerMinute: 100_000 };

let plane: ControlPlane;
let stage: VpnStage;
let one: VpnNode;
let two: VpnNode;
let tunnel: VpnTunnel;
beforeAll(async () => {
  plane = await startControlPlane({ config: { limits } });
  stage = await VpnStage.open(plane);
  [one, two] = (await stage.nodes(2)) as [VpnNode, VpnNode];
  await stopClock(plane);
});
afterAll(() => plane?.close());
beforeEach(async () => {
  tunnel = await stage.connection([one, two]);
});

const refusal = ({ status, body }: Answer) => ({ status, code: body.code });
const lost = { status: 409, code: 'lease_lost' };
const secondsUntil = (lease: Lease) => (Date.parse(lease.expiresAt) - Date.parse(lease.serverTime)) / 1000;

describe('a free connection', () => {
  it('is acquired by an eligible node, and told of by the audit log', async () => {
    const answer = await tunnel.acquire(one);
    expect(answer.status).toBe(201);
    expect(answer.headers.get('location')).toBe(`/api/v1/node-agents/me/vpn-connections/${tunnel.id}/lease`);
    const lease = answer.body as Lease;
    expect(lease).toEqual({
      id: expect.any(String),
      vpnConnectionId: tunnel.id,
      ownerNodeId: one.id,
      status: 'active',
      fencingToken: SEQUENCES + 1,
      acquiredAt: lease.serverTime,
      renewedAt: lease.serverTime,
      expiresAt: expect.any(String),
      ttlSeconds: 30,
      serverTime: expect.stringMatching(/\.\d{3}Z$/),
      endedAt: null,
      endReason: null,
      releaseRequested: false,
    });
    expect(secondsUntil(lease)).toBe(30);
    const shown = (await tunnel.active()).body as Lease;
    expect({ ...shown, serverTime: '' }).toEqual({ ...lease, serverTime: '' });
    expect(await tunnel.events()).toEqual([
      {
        action: 'vpn_lease.acquired',
        actor_type: 'node',
        reason: null,
        before: null,
        after: {
          leaseId: lease.id,
          ownerNodeId: one.id,
          fencingToken: lease.fencingToken,
          expiresAt: lease.expiresAt,
        },
      },
    ]);
  });

  it('is acquired by an admin for a node, at a Location that can be read', async () => {
    const answer = await tunnel.act('acquire', { nodeId: two.id.toUpperCase() });
    expect(answer.status).toBe(201);
    const read = await plane.api.get(answer.headers.get('location')?.replace('/api/v1', '') ?? '');
    expect(read.body).toMatchObject({ id: answer.body.id, ownerNodeId: two.id, status: 'active' });
    expect((await tunnel.events())[0]).toMatchObject({ actor_type: 'bootstrap' });
  });

  it('has no active lease', async () => {
    expect((await tunnel.active()).status).toBe(404);
    expect(await tunnel.leases()).toEqual([]);
    const path = `/node-agents/me/vpn-connections/${tunnel.id}/lease`;
    expect((await one.agent.get(path)).status).toBe(404);
  });
});

describe('a lease', () => {
  it('is told to its owner again, unchanged, and refuses everybody else until it expires', async () => {
    const lease = await tunnel.held(one);
    const again = await tunnel.acquire(one);
    expect(again.status).toBe(200);
    expect({ ...again.body, serverTime: '' }).toEqual({ ...lease, serverTime: '' });
    const own = await one.agent.get(`/node-agents/me/vpn-connections/${tunnel.id}/lease`);
    expect(own.body.id).toBe(lease.id);
    expect((await two.agent.get(`/node-agents/me/vpn-connections/${tunnel.id}/lease`)).status).toBe(404);
    const other = await tunnel.acquire(two);
    expect(refusal(other)).toEqual({ status: 409, code: 'lease_held' });
    expect(other.body.expiresAt).toBe(lease.expiresAt);
    expect(refusal(await tunnel.act('acquire', { nodeId: two.id }))).toEqual({
      status: 409,
      code: 'lease_held',
    });
    expect(await tunnel.events()).toHaveLength(1);
  });

  it('is renewed by its token, which stays, and by no other', async () => {
    const lease = await tunnel.held(one);
    await stage.advance(10);
    const renewal = await tunnel.renew(one, lease.fencingToken);
    expect(renewal.status).toBe(200);
    expect(renewal.body).toMatchObject({ id: lease.id, fencingToken: lease.fencingToken, status: 'active' });
    expect(secondsUntil(renewal.body)).toBe(30);
    expect(Date.parse(renewal.body.expiresAt)).toBeGreaterThan(Date.parse(lease.expiresAt));
    expect(refusal(await tunnel.renew(two, lease.fencingToken))).toEqual(lost);
    expect(refusal(await tunnel.renew(one, lease.fencingToken + 1))).toEqual(lost);
    const admin = await tunnel.act('renew', { nodeId: one.id, fencingToken: lease.fencingToken });
    expect(admin.status).toBe(200);
    expect(refusal(await tunnel.act('renew', { nodeId: two.id, fencingToken: lease.fencingToken }))).toEqual(
      lost,
    );
    // What nodes renew is no event of its own; what people do is.
    expect((await tunnel.events()).map(({ action, actor_type }) => [action, actor_type])).toEqual([
      ['vpn_lease.acquired', 'node'],
      ['vpn_lease.renewed', 'bootstrap'],
    ]);
  });

  it('never ends sooner by a renewal, when its connection has a shorter TTL meanwhile', async () => {
    const lease = await tunnel.held(one);
    await plane.api.patch(tunnel.path, { leaseTtlSeconds: 5 });
    await stage.advance(1);
    const renewal = await tunnel.renew(one, lease.fencingToken);
    expect(renewal.body).toMatchObject({ expiresAt: lease.expiresAt, ttlSeconds: 5 });
    await stage.advance(27);
    expect(secondsUntil((await tunnel.renew(one, lease.fencingToken)).body)).toBe(5);
  });

  it('is over at its instant for every reader, without any worker', async () => {
    const lease = await tunnel.held(one);
    await stage.advance(29.999);
    expect((await tunnel.active()).status).toBe(200);
    expect((await tunnel.acquire(one)).status).toBe(200);
    await stage.advance(0.001);
    expect((await tunnel.active()).status).toBe(404);
    expect(await tunnel.leases()).toEqual([
      expect.objectContaining({
        id: lease.id,
        status: 'expired',
        endedAt: lease.expiresAt,
        endReason: 'expired',
      }),
    ]);
    expect(refusal(await tunnel.release(one, lease.fencingToken))).toEqual(lost);
    expect(refusal(await tunnel.renew(one, lease.fencingToken))).toEqual(lost);
    expect(refusal(await tunnel.act('renew', { nodeId: one.id, fencingToken: lease.fencingToken }))).toEqual(
      lost,
    );
  });

  it('that expired is followed by anybody with a higher token, its end being written down with it', async () => {
    const first = await tunnel.held(one);
    await stage.advance(30);
    const second = await tunnel.held(two);
    expect(second.fencingToken).toBe(first.fencingToken + 1);
    await stage.advance(30);
    const third = await tunnel.held(two);
    expect(third.fencingToken).toBe(second.fencingToken + 1);
    expect((await tunnel.leases()).map(({ id, status }) => [id, status])).toEqual([
      [third.id, 'active'],
      [second.id, 'expired'],
      [first.id, 'expired'],
    ]);
    const [, expired] = await tunnel.events();
    expect(expired).toMatchObject({
      action: 'vpn_lease.expired',
      before: { leaseId: first.id, fencingToken: first.fencingToken, renewalCount: 0 },
      after: { status: 'expired', endedAt: first.expiresAt, endReason: 'expired' },
    });
  });

  it('that was found over stays so, even if the clock then steps back', async () => {
    const lease = await tunnel.held(one);
    await stage.advance(30);
    expect(refusal(await tunnel.renew(one, lease.fencingToken))).toEqual(lost);
    await stage.advance(-5);
    expect(refusal(await tunnel.renew(one, lease.fencingToken))).toEqual(lost);
    expect((await tunnel.leases())[0]).toMatchObject({ status: 'expired' });
    await stage.advance(5);
  });

  it('is released by its token; again changes nothing, and another one follows at once', async () => {
    const lease = await tunnel.held(one);
    expect(refusal(await tunnel.release(two, lease.fencingToken))).toEqual(lost);
    expect(refusal(await tunnel.release(one, lease.fencingToken + 1))).toEqual(lost);
    const released = await tunnel.release(one, lease.fencingToken);
    expect(released.body).toMatchObject({
      id: lease.id,
      status: 'released',
      endReason: 'released',
      endedAt: released.body.serverTime,
    });
    const next = await tunnel.held(two);
    const again = await tunnel.release(one, lease.fencingToken);
    expect(again.status).toBe(200);
    expect(again.body).toMatchObject({ id: lease.id, status: 'released', endedAt: released.body.endedAt });
    expect(refusal(await tunnel.renew(one, lease.fencingToken))).toEqual(lost);
    expect((await tunnel.active()).body.id).toBe(next.id);
    const byAdmin = { nodeId: two.id, fencingToken: next.fencingToken };
    expect((await tunnel.act('release', byAdmin)).body).toMatchObject({ id: next.id, status: 'released' });
    expect((await tunnel.events()).map(({ action }) => action)).toEqual([
      'vpn_lease.acquired',
      'vpn_lease.released',
      'vpn_lease.acquired',
      'vpn_lease.released',
    ]);
  });

  it('carries the authority term in its token', async () => {
    const own = await VpnStage.open(plane);
    const node = await own.node();
    const connection = await own.connection([node]);
    const first = await connection.held(node);
    await connection.release(node, first.fencingToken);
    const move = (to: string) =>
      plane.api.post(`/clusters/${own.clusterId}/authority/transitions`, {
        to,
        reason: 'Drill.',
        expectedTerm: 1,
      });
    created(await move('partitioned'));
    created(await move('authoritative'));
    expect((await connection.held(node)).fencingToken).toBe(2 * SEQUENCES + 2);
  });
});

describe('a fence', () => {
  const fence = (body: Record<string, unknown> = {}) =>
    tunnel.act('fence', { reason: 'Host is gone.', ...body });

  it('ends what is active, and skips a token', async () => {
    const lease = await tunnel.held(one);
    const answer = await fence();
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      lease: expect.objectContaining({
        id: lease.id,
        status: 'fenced',
        endReason: 'Host is gone.',
        endedAt: answer.body.serverTime,
      }),
      nextTokenAbove: lease.fencingToken + 1,
      heldUntil: null,
      serverTime: expect.any(String),
    });
    expect(refusal(await tunnel.renew(one, lease.fencingToken))).toEqual(lost);
    expect(refusal(await tunnel.release(one, lease.fencingToken))).toEqual(lost);
    expect((await tunnel.held(two)).fencingToken).toBeGreaterThan(answer.body.nextTokenAbove);
    const [, event] = await tunnel.events();
    expect(event).toMatchObject({
      action: 'vpn_lease.fenced',
      reason: 'Host is gone.',
      before: { leaseId: lease.id },
      after: { status: 'fenced', nextTokenAbove: answer.body.nextTokenAbove },
    });
  });

  it('of what nobody holds skips a token too, each time', async () => {
    const first = (await fence()).body;
    const second = (await fence()).body;
    expect([first.lease, second.lease]).toEqual([null, null]);
    expect(second.nextTokenAbove).toBeGreaterThan(first.nextTokenAbove);
    expect((await tunnel.held(one)).fencingToken).toBeGreaterThan(second.nextTokenAbove);
  });

  it('of an expired lease ends nothing, and writes down that it is over', async () => {
    await tunnel.held(one);
    await stage.advance(30);
    expect((await fence()).body.lease).toBeNull();
    expect((await tunnel.leases())[0]).toMatchObject({ status: 'expired' });
  });

  it('with a token hits that lease and no other, and is answered alike again', async () => {
    const lease = await tunnel.held(one);
    const { fencingToken } = lease;
    expect(refusal(await fence({ fencingToken: fencingToken + 1 }))).toEqual(lost);
    expect((await tunnel.active()).body.id).toBe(lease.id);
    const answer = await fence({ fencingToken });
    expect(answer.body.lease).toMatchObject({ id: lease.id, status: 'fenced' });
    const again = await fence({ fencingToken });
    expect(again.status).toBe(200);
    expect({ ...again.body, serverTime: '' }).toMatchObject({
      lease: { id: lease.id, status: 'fenced' },
      nextTokenAbove: answer.body.nextTokenAbove,
    });
    const next = await tunnel.held(two);
    expect(refusal(await fence({ fencingToken }))).toEqual(lost);
    expect((await tunnel.active()).body.id).toBe(next.id);
    await tunnel.release(two, next.fencingToken);
    expect(refusal(await fence({ fencingToken: next.fencingToken }))).toEqual(lost);
  });

  it('keeps everybody from acquiring for as long as it says, and less if a later one says so', async () => {
    const answer = await fence({ holdSeconds: 60 });
    expect(Date.parse(answer.body.heldUntil) - Date.parse(answer.body.serverTime)).toBe(60_000);
    const refused = await tunnel.acquire(one);
    expect(refusal(refused)).toEqual({ status: 409, code: 'takeover_held' });
    expect(refused.headers.get('retry-after')).toBe('60');
    expect(refused.body).toMatchObject({ rule: 'no_fence_hold', heldUntil: answer.body.heldUntil });
    expect((await fence()).body.heldUntil).toBe(answer.body.heldUntil);
    await stage.advance(60);
    await tunnel.held(one);
    await fence({ holdSeconds: 600 });
    await fence({ holdSeconds: 0 });
    await tunnel.held(one);
  });

  it('is for recovery admins and the owner alone', async () => {
    const as = async (role: string) => {
      const body = { name: unique('t'), role, clusterId: stage.clusterId };
      return plane.api.as((created(await plane.api.post('/api-tokens', body)) as { token: string }).token);
    };
    for (const role of ['platform-admin', 'platform-operator', 'auditor'])
      expect((await (await as(role)).post(`${tunnel.path}/lease/fence`, { reason: 'x' })).status).toBe(403);
    const recovery = await as('recovery-admin');
    expect((await recovery.post(`${tunnel.path}/lease/fence`, { reason: 'x' })).status).toBe(200);
    expect((await recovery.post(`${tunnel.path}/lease/acquire`, { nodeId: one.id })).status).toBe(403);
  });
});

describe('a node', () => {
  it('does not see a connection that does not allow it, in any call', async () => {
    const foreign = await (await VpnStage.open(plane)).node();
    const stranger = await stage.node();
    const lease = await tunnel.held(one);
    for (const node of [stranger, foreign]) {
      const answers = [
        await tunnel.acquire(node),
        await tunnel.acquire(node, { tokenSeen: lease.fencingToken + 1 }),
        await tunnel.renew(node, lease.fencingToken),
        await tunnel.release(node, lease.fencingToken),
        await node.agent.get(`/node-agents/me/vpn-connections/${tunnel.id}/lease`),
      ];
      expect(answers.map(refusal)).toEqual(answers.map(() => ({ status: 404, code: 'not_found' })));
    }
    for (const id of [randomUUID(), 'nonsense'])
      expect(
        (await one.agent.post(`/node-agents/me/vpn-connections/${id}/lease/renew`, { fencingToken: 1 }))
          .status,
      ).toBe(404);
  });

  it('may say more than this version knows, and must say what it has to', async () => {
    expect((await tunnel.acquire(one, { fromTheFuture: 1 })).status).toBe(201);
    const path = `/node-agents/me/vpn-connections/${tunnel.id}/lease`;
    expect((await one.agent.post(`${path}/renew`, {})).status).toBe(422);
    expect((await one.agent.post(`${path}/release`, { fencingToken: 2 ** 53 })).status).toBe(422);
    expect((await one.agent.post(`${path}/acquire`, { tokenSeen: -1 })).status).toBe(422);
    expect((await one.agent.post(`${path}/acquire`)).status).toBe(200);
  });

  it('gets the same answer again by an Idempotency-Key, and that says when it was so', async () => {
    const path = `/node-agents/me/vpn-connections/${tunnel.id}/lease`;
    const key = { 'idempotency-key': unique('key') };
    const first = await one.agent.post(`${path}/acquire`, {}, key);
    await stage.advance(40);
    const second = await tunnel.held(two);
    const again = await one.agent.post(`${path}/acquire`, {}, key);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(again.body).toEqual(first.body);
    expect((await tunnel.active()).body.id).toBe(second.id);
  });

  it('that saw a higher token than was ever given out raises the term, and gets nothing at or below it', async () => {
    const own = await VpnStage.open(plane);
    const node = await own.node();
    const other = await own.node();
    const connection = await own.connection([node, other]);
    const term = async () => (await plane.api.get(`/clusters/${own.clusterId}/authority`)).body.term;
    const { fencingToken } = await connection.held(node);
    await connection.acquire(node, { tokenSeen: fencingToken });
    expect(await term()).toBe(1);
    await connection.release(node, fencingToken);
    const refused = await connection.acquire(node, { tokenSeen: fencingToken + 5 });
    expect(refusal(refused)).toEqual({ status: 409, code: 'takeover_held' });
    expect(refused.body.rule).toBe('no_takeover_hold');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(30);
    expect(await term()).toBe(2);
    // A node cannot use up the terms, and what it claims beyond them it does not get.
    await connection.acquire(node, { tokenSeen: 900 * SEQUENCES });
    expect(await term()).toBe(2);
    const incidents = await plane.database.query<{ after: Record<string, unknown> }>(
      `SELECT after FROM audit_events WHERE cluster_id = $1 AND action = 'authority.term_claimed'`,
      [own.clusterId],
    );
    expect(incidents[0]?.after).toMatchObject({
      connectionId: connection.id,
      tokenSeen: fencingToken + 5,
      lastToken: fencingToken,
      source: 'fencing_token',
    });
    await own.advance(3_700);
    const beyond = await connection.acquire(node, { tokenSeen: 900 * SEQUENCES });
    expect(refusal(beyond)).toEqual({ status: 409, code: 'takeover_held' });
    await own.advance(3_700);
    const fine = await connection.held(other);
    expect(fine.fencingToken).toBeGreaterThan(fencingToken + 5);
  });
});

describe('without authority', () => {
  it('holders renew and release, fences fall, and nobody new gets a lease', async () => {
    const own = await VpnStage.open(plane);
    const [holder, other] = (await own.nodes(2)) as [VpnNode, VpnNode];
    const connections = await Promise.all([1, 2, 3].map(() => own.connection([holder, other])));
    const leases = await Promise.all(connections.slice(0, 2).map((each) => each.held(holder)));
    created(
      await plane.api.post(`/clusters/${own.clusterId}/authority/transitions`, {
        to: 'degraded',
        reason: 'Drill.',
        expectedTerm: 1,
      }),
    );
    const [held, fenced, free] = connections as [VpnTunnel, VpnTunnel, VpnTunnel];
    const token = leases[0]?.fencingToken ?? 0;
    expect((await held.renew(holder, token)).status).toBe(200);
    expect((await held.act('renew', { nodeId: holder.id, fencingToken: token })).status).toBe(200);
    expect((await held.acquire(holder)).status).toBe(200);
    expect(refusal(await held.acquire(other))).toEqual({ status: 409, code: 'lease_held' });
    expect((await fenced.act('fence', { reason: 'x' })).body.lease).toMatchObject({ status: 'fenced' });
    expect((await held.release(holder, token)).status).toBe(200);
    const refused = [
      await free.acquire(other),
      await held.acquire(holder),
      await free.act('acquire', { nodeId: holder.id }),
      await free.act('handover', { toNodeId: holder.id }),
    ];
    expect(refused.map(refusal)).toEqual(
      refused.map(() => ({ status: 409, code: 'cluster_not_authoritative' })),
    );
    expect(refused[0]?.body.authorityState).toBe('degraded');
  });
});

describe('the history', () => {
  it('pages over owner periods, newest first', async () => {
    const tokens: number[] = [];
    for (let period = 0; period < 3; period += 1) {
      const { fencingToken } = await tunnel.held(one);
      tokens.unshift(fencingToken);
      await tunnel.release(one, fencingToken);
    }
    const first = await plane.api.get(`${tunnel.path}/leases?limit=2`);
    const second = await plane.api.get(`${tunnel.path}/leases?limit=2&cursor=${first.body.nextCursor}`);
    const all = [...first.body.items, ...second.body.items] as Lease[];
    expect(all.map(({ fencingToken }) => fencingToken)).toEqual(tokens);
    expect(second.body.nextCursor).toBeNull();
  });

  it('is shown in its cluster alone', async () => {
    const lease = await tunnel.held(one);
    const other = (await VpnStage.open(plane)).clusterId;
    const path = `/clusters/${other}/vpn-connections/${tunnel.id}`;
    const api: Api = plane.api;
    for (const what of ['lease', 'leases', `leases/${lease.id}`, `lease/explain?nodeId=${one.id}`])
      expect((await api.get(`${path}/${what}`)).status).toBe(404);
    for (const what of ['acquire', 'renew', 'release'])
      expect(
        (await api.post(`${path}/lease/${what}`, { nodeId: one.id, fencingToken: 1 })).status,
      ).toBeGreaterThan(403);
    expect((await api.post(`${path}/lease/fence`, { reason: 'x' })).status).toBe(404);
    expect((await api.post(`${path}/lease/handover`, { toNodeId: one.id })).status).toBe(404);
    expect((await tunnel.active()).body.id).toBe(lease.id);
  });
});
