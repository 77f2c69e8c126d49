import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { migrate } from '../../src/common/database/migrations/migrator.js';
import { ChaosPostgres } from '../chaos/chaos-postgres.js';
import type { Answer } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { collectLog } from '../support/log-lines.js';
import { until } from '../support/until.js';
import { type VpnNode, VpnStage, type VpnTunnel } from '../support/vpn.js';

const limits = { principalPerMinute: 1e6, nodePerMinute: 1e6, unknownCredentialsPerMinute: 1e6 };
const DEATHS = 3;
/** A server that is durable and recovers three times, on a busy machine. */
const TIMEOUT_MS = 600_000;
/** Answers of a caller between two deaths, so that each meets callers at work. */
const CALLS_BETWEEN = 5;

let postgres: ChaosPostgres;
let plane: ControlPlane;
let stage: VpnStage;
let nodes: VpnNode[];
let tunnels: VpnTunnel[];
beforeAll(async () => {
  postgres = await ChaosPostgres.open();
  const { appUrl, ownerUrl } = postgres;
  const database = { appUrl, directUrl: appUrl, ownerUrl };
  await migrate(database);
  const ownerToken = `owner-${randomBytes(24).toString('base64url')}`;
  const masterKey = randomBytes(32).toString('base64url');
  const beside = { ownerToken, runtime: { database, masterKey } };
  plane = await startControlPlane({ beside, config: { limits } });
  stage = await VpnStage.open(plane);
  nodes = await stage.nodes(2);
  tunnels = await Promise.all(nodes.map(() => stage.connection(nodes)));
}, TIMEOUT_MS);
afterAll(async () => {
  await plane?.close();
  await postgres?.close();
}, TIMEOUT_MS);

/** Calls again and again, and keeps what is wrong with an answer: a fault, or a 503 that does not say when to come back. */
class Caller {
  answered = 0;
  readonly wrong: unknown[] = [];
  private isStopped = false;

  constructor(private readonly call: (at: number) => Promise<Answer>) {}

  async run(): Promise<void> {
    for (let at = 0; !this.isStopped; at += 1) {
      const { status, body, headers } = await this.call(at);
      const isFine = status === 503 && body.code === 'unavailable' && Number(headers.get('retry-after')) > 0;
      if (status >= 500 && !isFine) this.wrong.push({ status, body });
      if (status < 500) this.answered += 1;
      // Whoever comes back at once would only keep a server that starts from its work.
      else await sleep(20);
    }
  }

  stop(): void {
    this.isStopped = true;
  }
}

it(
  'a database that is killed again and again is never a fault of the service, and loses nothing that was answered',
  async () => {
    const faults = collectLog(plane, 'error');
    const cluster = `/clusters/${stage.clusterId}`;
    let labelled = 0;
    const calls = tunnels.flatMap((tunnel, at) => {
      const node = nodes[at] as VpnNode;
      let held = 0;
      const acquire = async () => {
        const answer = await tunnel.acquire(node);
        if (answer.status < 300) held = answer.body.fencingToken;
        return answer;
      };
      return [
        acquire,
        () => tunnel.renew(node, held),
        (round: number) => (round % 10 === 9 ? tunnel.release(node, held) : tunnel.renew(node, held)),
        () => tunnel.act('fence', { reason: 'to be sure' }),
        () => node.agent.post('/node-agents/me/heartbeat', node.node.heartbeat()),
        () => node.agent.get('/node-agents/me/snapshot'),
        () => stage.api.get('/clusters'),
        () => stage.api.post(`${cluster}/join-tokens`, {}),
      ];
    });
    const label = async (round: number) => {
      const answer = await stage.api.patch(cluster, { labels: { round: String(round) } });
      if (answer.status === 200) labelled = round;
      return answer;
    };
    const callers = [...calls, label].map((call) => new Caller(call));
    const running = Promise.all(callers.map((caller) => caller.run()));
    try {
      for (let death = 1; death <= DEATHS; death += 1) {
        await until(
          async () => Math.min(...callers.map(({ answered }) => answered)),
          (fewest) => fewest >= death * CALLS_BETWEEN,
        );
        await postgres.kill();
        await postgres.restart();
      }
    } finally {
      for (const caller of callers) caller.stop();
      await running;
    }
    const wrong = callers.flatMap((caller) => caller.wrong);
    const ids = wrong.map((answer) => (answer as { body: { requestId: string } }).body.requestId);
    expect({ wrong, faults: faults.filter(({ requestId }) => ids.includes(String(requestId))) }).toEqual({
      wrong: [],
      faults: [],
    });
    const kept = await until(
      () => stage.api.get(cluster),
      ({ status }) => status === 200,
    );
    expect(Number(kept.body.labels.round)).toBeGreaterThanOrEqual(labelled);
  },
  TIMEOUT_MS,
);
