import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Jobs } from '../../src/common/jobs/jobs.js';
import { type Answer, type Api, apiClient } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, several } from '../support/given.js';
import { heldPolls } from '../support/held-polls.js';
import { type VpnNode, VpnStage, type VpnTunnel } from '../support/vpn.js';

const limits = { principalPerMinute: 100_000, nodePerMinute: 100_000, unknownCredentialsPerMinute: 100_000 };

let plane: ControlPlane;
/** Where the polls are held: another instance than the one at which leases end. */
let second: ControlPlane;
let stage: VpnStage;
let owner: VpnNode;
let candidate: VpnNode;
let stranger: VpnNode;
let tunnel: VpnTunnel;
beforeAll(async () => {
  plane = await startControlPlane({ config: { limits } });
  second = await startControlPlane({ beside: plane, config: { limits } });
});
afterAll(async () => {
  await second?.close();
  await plane?.close();
});
beforeEach(async () => {
  stage = await VpnStage.open(plane);
  [owner, candidate, stranger] = (await stage.nodes(3)) as [VpnNode, VpnNode, VpnNode];
  tunnel = await stage.connection([owner, candidate]);
});

/** What begins a poll that is held at the second instance, for what the node has. */
async function polling({ node }: VpnNode, { prefer = 'lease-hints' } = {}): Promise<() => Promise<Answer>> {
  const { access_token } = created(await node.requestToken()) as { access_token: string };
  const at: Api = apiClient(second.url, access_token);
  const path = '/node-agents/me/snapshot';
  const etag = (await at.get(path)).headers.get('etag') ?? '';
  return () => at.get(`${path}?waitSeconds=55`, undefined, { 'if-none-match': etag, prefer });
}
/** Changes the snapshot of a node: what a poll of it that is still held then answers, it was not answered by anything before. */
const change = async ({ id }: VpnNode) =>
  created(await plane.api.patch(`/clusters/${stage.clusterId}/nodes/${id}`, { telemetryEnabled: true }));
const told = ({ status, headers }: Answer) => [status, headers.get('lease-hints')];

describe('a poll that is held for hints of leases', () => {
  it.each<[string, (token: number) => Promise<unknown>]>([
    ['is released', (token) => tunnel.release(owner, token)],
    ['is fenced', () => tunnel.act('fence', { reason: 'test' })],
    ['is to be handed over', () => tunnel.act('handover', { toNodeId: candidate.id })],
    [
      'has expired and was written down',
      async () => {
        await stage.advance(31);
        await plane.app.get(Jobs).runNow('vpn', 'lease-expiry');
      },
    ],
  ])('is answered when a lease %s, to those who may hold the connection', async (_, end) => {
    const { fencingToken } = await tunnel.held(owner);
    const toBeWoken = [await polling(owner), await polling(candidate)];
    const toWait = [await polling(stranger), await polling(candidate, { prefer: 'respond-async' })];
    const [woken, others] = [toBeWoken, toWait].map((polls) => polls.map((begin) => begin()));
    await heldPolls(second, 4);
    await end(fencingToken);
    expect((await Promise.all(woken ?? [])).map(told)).toEqual([
      [304, tunnel.id],
      [304, tunnel.id],
    ]);
    await change(stranger);
    await change(candidate);
    expect((await Promise.all(others ?? [])).map(told)).toEqual([
      [200, null],
      [200, null],
    ]);
  });

  it('is answered when the owner loses what the lease rests on', async () => {
    await tunnel.held(owner);
    const poll = (await polling(candidate))();
    await heldPolls(second, 1);
    created(await plane.api.post(`${owner.assignment}/disable`));
    expect(told(await poll)).toEqual([304, tunnel.id]);
  });

  it('names no more connections than fit into a header', async () => {
    const tunnels = await several(51, () => stage.connection([owner, candidate], { leaseTtlSeconds: 3_600 }));
    for (const each of tunnels) await each.held(owner);
    const poll = (await polling(candidate))();
    await heldPolls(second, 1);
    created(await plane.api.post(`${owner.assignment}/disable`));
    expect(told(await poll)).toEqual([304, '*']);
  });

  it('is not answered by a lease that begins or is renewed', async () => {
    const poll = (await polling(candidate))();
    await heldPolls(second, 1);
    const { fencingToken } = await tunnel.held(owner);
    created(await tunnel.act('renew', { nodeId: owner.id, fencingToken }));
    await change(candidate);
    expect(told(await poll)).toEqual([200, null]);
  });
});
