import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { created, unique } from '../support/given.js';
import { Publisher } from '../support/publisher.js';
import { type Fate, NEW, OLD } from '../support/rollouts/host.js';
import { HttpNode } from '../support/rollouts/http-node.js';
import { KilledService } from '../support/rollouts/killed-service.js';
import { LoggedRollout } from '../support/rollouts/logged-rollout.js';
import { RolloutLog } from '../support/rollouts/rollout-log.js';
import { stubbornApi } from '../support/rollouts/stubborn-api.js';
import { TestNode } from '../support/test-node.js';
import { until } from '../support/until.js';
import type { Payload } from '../support/watching-node.js';

/** 1,000 nodes by hand: `FABRIC_TEST_KILLED_ROLLOUT_NODES=1000 npm test -- test/e2e/rollout-kills.spec.ts`. */
const NODES = Number(process.env.FABRIC_TEST_KILLED_ROLLOUT_NODES ?? 48);
/** Of a rollout of the whole fleet; so that one comes every few seconds. */
const KILLS = NODES >= 500 ? 12 : 3;
const MAX_UNAVAILABLE = Math.ceil(NODES / 40);
/** Nodes of a fleet that are admitted at a time. */
const ADMITTED_AT_ONCE = 8;
const WAIT_SECONDS = 20;
const TIMEOUT_MS = 300_000 + NODES * 1_500;

const terms = {
  waves: [
    { name: 'canary', percent: 10, soakSeconds: 1, dependsOn: [] },
    { name: 'half', percent: 50, soakSeconds: 0, dependsOn: ['canary'] },
    { name: 'rest', percent: 100, soakSeconds: 0, dependsOn: ['half'] },
  ],
  minEvidence: 1,
  successThresholdPercent: 80,
  failureThresholdPercent: 20,
};

let service: KilledService;
let log: RolloutLog;
beforeAll(async () => {
  service = await KilledService.start();
  log = await RolloutLog.watch(service);
}, 300_000);
afterAll(() => service?.close());

/** Some nodes find the version bad, some cannot even fetch it: by their place in the plan, so that no wave has too many. */
function fateOf(place: number): Fate {
  if (place % 25 === 7) return 'unhealthy';
  return place % 40 === 11 ? 'bad_download' : 'well';
}

const BUCKETS: Partial<Record<Fate, string>> = {
  well: 'ok',
  unhealthy: 'rolled_back',
  bad_download: 'failed',
};

async function admit(clusterId: string, joinToken: string): Promise<TestNode> {
  const { api, urls } = service;
  const node = await TestNode.make(urls[0] ?? '');
  created(await node.enroll(joinToken));
  const path = `/clusters/${clusterId}/join-requests/${node.joinRequestId}/approve`;
  node.nodeId = (created(await api.post(path)) as { approvedNodeId: string }).approvedNodeId;
  return node;
}

/** A fleet, and how many of it were out of service at the same time at worst. */
class Fleet {
  readonly nodes: HttpNode[] = [];
  worst = 0;
  updated = 0;
  isOver = false;
  private failure: unknown = null;

  async join(clusterId: string, { product }: Publisher, files: ReadonlyMap<string, string>): Promise<void> {
    const input = { maxUses: NODES };
    const { token } = created(await service.api.post(`/clusters/${clusterId}/join-tokens`, input)) as {
      token: string;
    };
    const joining = Array.from({ length: ADMITTED_AT_ONCE }, async () => {
      while (this.nodes.length < NODES) {
        const place = this.nodes.push(null as never) - 1;
        const node = await admit(clusterId, token);
        const { access_token } = created(await node.requestToken()) as { access_token: string };
        const api = stubbornApi(service, access_token, place);
        this.nodes[place] = new HttpNode(node, [api], product, files, () => this.count());
        await this.nodes[place].beat(0);
      }
    });
    await Promise.all(joining);
  }

  /** Each does what it is told to and waits for more, whoever answers. @param order of the plan, by their ids */
  async live(order: readonly string[]): Promise<void> {
    const places = new Map(order.map((id, place) => [id, place]));
    this.nodes.sort((one, other) => (places.get(one.id) ?? 0) - (places.get(other.id) ?? 0));
    const living = this.nodes.map((node, place) => this.liveOn(node, fateOf(place)));
    await Promise.all(living).catch((error: unknown) => {
      if (!this.isOver) this.failure = error;
    });
  }

  /** @throws when one of them could not go on */
  async sound(): Promise<this> {
    if (this.failure !== null) throw this.failure;
    return this;
  }

  private async liveOn(node: HttpNode, fate: Fate): Promise<void> {
    while (!this.isOver) {
      await node.wait(WAIT_SECONDS);
      const before = node.host.heard?.phase;
      await node.act(fate === 'unhealthy' ? 'well' : fate, 0);
      if (node.host.disruptedBy !== null) await this.change(node, fate);
      if (before === 'granted') this.updated += 1;
    }
  }

  private async change(node: HttpNode, fate: Fate): Promise<void> {
    await node.act('well', 0);
    await node.act(fate, 0);
    while (node.host.disruptedBy !== null) await node.act('well', 0);
  }

  private count(): void {
    this.worst = Math.max(this.worst, this.nodes.filter(({ isDisrupted }) => isDisrupted).length);
  }
}

it(
  'a rollout outlives every kill -9 of the processes that drive it, and passes over no node',
  async () => {
    const { api } = service;
    const publisher = await Publisher.make(api, { kind: 'node-agent' });
    const files = new Map<string, string>();
    for (const version of [OLD, NEW]) files.set(version, (await publisher.release(version)).sha256);
    const { id: clusterId } = created(await api.post('/clusters', { name: unique('killed') })) as {
      id: string;
    };
    created(await api.put(`/clusters/${clusterId}/policy`, { heartbeatSeconds: 3_600 }));
    const fleet = new Fleet();
    await fleet.join(clusterId, publisher, files);

    const rollouts = `/clusters/${clusterId}/rollouts`;
    const strategy = {
      ...terms,
      ...{ maxUnavailable: MAX_UNAVAILABLE, progressDeadlineSeconds: 3_600, autoRollback: false },
    };
    const body = { product: publisher.product, targetVersion: NEW, strategy };
    const { id } = created(await api.post(rollouts, body)) as { id: string };
    const logged = new LoggedRollout(id, terms);
    created(await api.post(`${rollouts}/${id}/start`));
    const state = async () => (created(await api.get(`${rollouts}/${id}`)) as Payload).state;

    const order = await service.database.query<{ id: string }>(
      'SELECT a.node_id AS id FROM rollout_assignments AS a WHERE a.rollout_id = $1 ORDER BY a.wave_position, a.place',
      [id],
    );
    const living = fleet.live(order.map((each) => each.id));
    for (let kill = 1; kill <= KILLS; kill += 1) {
      await until(
        () => fleet.sound(),
        ({ updated }) => updated >= (kill * NODES * 0.9) / (KILLS + 1),
      );
      await service.killNext();
    }
    const ended = await until(
      async () => (await fleet.sound()) && state(),
      (now) => now !== 'running',
    );
    expect(ended).toBe('succeeded');
    fleet.isOver = true;
    const nodes = await all(`${rollouts}/${id}/nodes`);
    await service.stop();
    await living;

    expect(nodes.map(({ nodeId, state: bucket }) => [nodeId, bucket]).sort()).toEqual(
      fleet.nodes.map((node, place) => [node.id, BUCKETS[fateOf(place)]]).sort(),
    );
    const runsNew = fleet.nodes.filter(({ host }) => host.version === NEW).map(({ id: nodeId }) => nodeId);
    const isOk = nodes.filter(({ state: bucket }) => bucket === 'ok').map(({ nodeId }) => nodeId);
    expect(runsNew.sort()).toEqual(isOk.sort());
    expect(fleet.worst).toBeGreaterThan(1);
    expect(fleet.worst).toBeLessThanOrEqual(MAX_UNAVAILABLE);
    const slots = await service.database.query('SELECT s.node_id FROM update_slots AS s');
    expect(slots).toEqual([]);
    logged.follow(await log.next());
    expect(logged.state).toBe('succeeded');
    expect(logged.ways('forward')).toHaveLength(NODES);
  },
  TIMEOUT_MS,
);

async function all(path: string): Promise<{ nodeId: string; state: string }[]> {
  const items: { nodeId: string; state: string }[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const query: string = cursor === '' ? '' : `&cursor=${cursor}`;
    const page = created(await service.api.get(`${path}?limit=200${query}`)) as Payload;
    items.push(...page.items);
    cursor = page.nextCursor;
  }
  return items;
}
