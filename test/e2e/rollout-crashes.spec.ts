import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Jobs } from '../../src/common/jobs/jobs.js';
import type { Answer } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created } from '../support/given.js';
import { RolloutStage, type ToldUpdate, type UpdatingNode } from '../support/rollouts/stage.js';
import { StatementCutter } from '../support/statement-cutter.js';

const limits = { principalPerMinute: 1e6, nodePerMinute: 1e6 };
const STRATEGY = {
  waves: [
    { name: 'canary', count: 1, soakSeconds: 60 },
    { name: 'rest', percent: 100 },
  ],
  maxUnavailable: 2,
  nodeDeadlineSeconds: 600,
  progressDeadlineSeconds: 86_400,
};

let plane: ControlPlane;
let cutter: StatementCutter;
beforeAll(async () => {
  // Ticks come when the test says so.
  plane = await startControlPlane({ config: { limits, role: 'api' } });
  cutter = await StatementCutter.at(plane);
});
afterAll(async () => {
  await cutter?.close();
  await plane?.close();
});

const OF_ROLLOUT = ['rollout_waves', 'rollout_assignments', 'rollout_counts', 'rollout_decisions'];
const OF_CLUSTER = ['update_slots', 'node_versions', 'emergency_pins', 'emergency_pin_nodes'];
const OF_RESOURCE = ['audit_events', 'change_feed'];
/** All rows of a rollout ($1) in its cluster ($2), by table. Numbers that have come to nothing say nothing. */
const ROWS = `SELECT ${[
  ...OF_ROLLOUT.map((table) =>
    rowsOf(table, `t.rollout_id = $1 AND to_jsonb(t) ->> 'nodes' IS DISTINCT FROM '0'`),
  ),
  ...OF_CLUSTER.map((table) => rowsOf(table, 't.cluster_id = $2')),
  ...OF_RESOURCE.map((table) => rowsOf(table, 't.resource_id = $1::text')),
  rowsOf('rollouts', 't.id = $1'),
].join(', ')}`;

function rowsOf(table: string, condition: string): string {
  return `(SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]') FROM ${table} AS t WHERE ${condition}) AS ${table}`;
}

/** A rollout that two live through alike: one undisturbed, one cut off after every statement of everything that is done. */
class Twin {
  private sequence = 0;
  private nodes: readonly UpdatingNode[] = [];

  private constructor(
    readonly stage: RolloutStage,
    readonly id: string,
  ) {}

  static async open(): Promise<Twin> {
    const stage = await RolloutStage.open(plane, 4);
    // Nobody is away, however long it takes to cut everything that is done.
    created(await plane.api.put(`/clusters/${stage.clusterId}/policy`, { heartbeatSeconds: 3_600 }));
    const twin = new Twin(stage, await stage.draft(STRATEGY));
    const order = await plane.database.query<{ id: string }>(
      'SELECT a.node_id AS id FROM rollout_assignments AS a WHERE a.rollout_id = $1 ORDER BY a.wave_position, a.place',
      [twin.id],
    );
    twin.nodes = order.map(({ id }) => stage.nodes.find((node) => node.id === id) as UpdatingNode);
    return twin;
  }

  /** In the order of the plan, which is another for each of the two. */
  node(at: number): UpdatingNode {
    return this.nodes[at] as UpdatingNode;
  }

  async told(at: number): Promise<ToldUpdate> {
    return (await this.node(at).told()) as ToldUpdate;
  }

  /** Reports states one after the other. */
  async tell(at: number, ...states: readonly string[]): Promise<void> {
    const update = await this.told(at);
    for (const state of states) created(await (await this.reporting(at, state, update))());
  }

  /** A report with one sequence, however often it is sent. */
  async reporting(at: number, state: string, about?: ToldUpdate): Promise<() => Promise<Answer>> {
    const update = about ?? (await this.told(at));
    this.sequence += 1;
    const { sequence } = this;
    return () => this.node(at).report(update, state, { sequence });
  }

  /** Takes on whatever has paused it. */
  async goOn(): Promise<void> {
    const { pausedByDecisionId: acknowledge } = await this.stage.rollout(this.id);
    created(await this.stage.act(this.id, 'resume', { acknowledge }));
  }

  /** Of this rollout alone. */
  tick(): Promise<void> {
    return plane.app.get(Jobs).runNow('rollouts', 'rollout-tick', `${this.stage.clusterId}/${this.id}`);
  }

  /** All that there is of it, with other names for what only this twin has. */
  async looks(): Promise<unknown> {
    const [parts] = await plane.database.query<Record<string, unknown[]>>(ROWS, [
      this.id,
      this.stage.clusterId,
    ]);
    return Object.entries(parts ?? {}).map(([name, rows]) => [
      name,
      rows.map((row) => this.renamed(row)).sort(),
    ]);
  }

  /** What its nodes have been told, by number. */
  generations(): Promise<unknown[]> {
    return Promise.all(this.nodes.map((node) => this.generation(node)));
  }

  private async generation({ id }: UpdatingNode): Promise<unknown> {
    const path = `/clusters/${this.stage.clusterId}/nodes/${id}`;
    const { status, body } = await plane.api.get(`${path}/snapshot`);
    return status === 200 ? body.generation : status;
  }

  /** Instants and ids of rows say nothing of what was done. */
  private renamed(row: unknown): string {
    const names = new Map<string, string>([
      [this.id, 'the rollout'],
      [this.stage.clusterId, 'the cluster'],
      ...this.nodes.map(({ id }, at): [string, string] => [id, `node ${at}`]),
    ]);
    return (
      JSON.stringify(row)
        .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (id) => names.get(id) ?? 'another id')
        // They moved together: in which order their rows were found says nothing.
        .replace(/(?<="nodeIds": ?\[)[^\]]*/g, (names) => names.split(/, ?/).sort().join(','))
        .replace(/"\d{4}-\d\d-\d\dT[^"]*"/g, '"an instant"')
        .replace(/"id": ?\d+/g, '"id"')
        .replaceAll(this.stage.publisher.product, 'the product')
        .replace(
          /"(salt|plan_hash|planHash|request_id|xid|position|soaked_ms)": ?("[^"]*"|\d+|null)/g,
          '"$1"',
        )
    );
  }
}

/** What is done, and may be done again when nobody knows whether it was. */
type Act = (twin: Twin) => Promise<() => Promise<Answer | undefined>>;

const decide =
  (verb: string, body: unknown = {}): Act =>
  async ({ stage, id }) =>
  () =>
    stage.act(id, verb, body);
const ofNode =
  (at: number, verb: string): Act =>
  async (twin) =>
  () =>
    twin.stage.act(twin.id, `nodes/${twin.node(at).id}/${verb}`, { reason: 'It is.' });
const report =
  (at: number, state: string): Act =>
  (twin) =>
    twin.reporting(at, state);
const tick: Act = async (twin) => async () => {
  await twin.tick();
  return undefined;
};

const pinsOf = ({ clusterId }: RolloutStage) => `/clusters/${clusterId}/emergency-pins`;

/** A rollout's life: what leads to each act, uncut, and the act. */
const LIFE: [string, Act, ((twin: Twin) => Promise<unknown>)?][] = [
  ['is started', decide('start')],
  [
    'is held by an emergency pin',
    async ({ stage }) => {
      const expiresAt = new Date(Date.now() + 86_400_000).toISOString();
      const what = { product: stage.publisher.product, version: '1.0.0', scope: { all: true } };
      return () => plane.api.post(pinsOf(stage), { ...what, reason: 'To be sure.', expiresAt });
    },
  ],
  [
    'is let go by it',
    async ({ stage }) => {
      const { items } = created(await plane.api.get(pinsOf(stage))) as { items: { id: string }[] };
      return () => plane.api.post(`${pinsOf(stage)}/${items[0]?.id}/lift`, { reason: 'It is good.' });
    },
  ],
  [
    'lets a node go out of service',
    report(0, 'staging'),
    async (twin) => {
      // All of them: who was held is looked for by the sweep.
      await twin.stage.tick();
      await twin.tell(0, 'checking', 'downloading', 'verifying');
    },
  ],
  [
    'takes a node back into service',
    report(0, 'running'),
    (twin) => twin.tell(0, 'starting', 'health_checking', 'promoting'),
  ],
  ['begins its second wave', tick, ({ stage }) => stage.advance(61)],
  ['is paused', decide('pause')],
  [
    'hears of a node that has gone back by itself',
    report(1, 'rolled_back'),
    async (twin) => {
      await twin.goOn();
      await twin.tell(
        1,
        ...['checking', 'downloading', 'verifying', 'staging'],
        ...['starting', 'rollback_required', 'rolling_back'],
      );
    },
  ],
  [
    'goes on with what was acknowledged',
    async ({ stage, id }) => {
      const { pausedByDecisionId: acknowledge } = await stage.rollout(id);
      return () => stage.act(id, 'resume', { acknowledge });
    },
  ],
  [
    'hears of a node that cannot get back',
    report(2, 'fenced'),
    (twin) =>
      twin.tell(
        2,
        ...['checking', 'downloading', 'verifying', 'staging'],
        ...['starting', 'rollback_required'],
      ),
  ],
  ['takes it out of its fence', ofNode(2, 'unfence')],
  [
    'gives up on a node that is silent',
    tick,
    async (twin) => {
      await twin.goOn();
      await twin.tell(3, 'checking', 'downloading', 'verifying', 'staging', 'starting');
      await twin.stage.advance(601);
    },
  ],
  ['writes it off', ofNode(3, 'write-off')],
  [
    'goes back when its version is blocked',
    async ({ stage }) =>
      () =>
        plane.api.post(stage.publisher.path('2.0.0', '/block'), { reason: 'Loses data.' }),
  ],
  [
    'leads a node back',
    report(0, 'running'),
    async (twin) => {
      await twin.tick();
      await twin.tell(
        0,
        ...['checking', 'downloading', 'verifying', 'staging'],
        ...['starting', 'health_checking', 'promoting'],
      );
    },
  ],
];

describe('a rollout whose connection is cut after any one statement', () => {
  it('has done a thing whole or not at all, and is where an undisturbed one is when it is done again', async () => {
    const [calm, cut] = [await Twin.open(), await Twin.open()];
    expect(await cut.looks()).toEqual(await calm.looks());
    const cuts: Record<string, number> = {};
    for (const [what, act, before] of LIFE) {
      for (const twin of [calm, cut]) await before?.(twin);
      const doCalmly = await act(calm);
      const doCut = await act(cut);
      const was = await cut.looks();
      await doCalmly();
      const due = await calm.looks();
      expect([what, due]).not.toEqual([what, was]);
      let isDone = false;
      for (let statements = 1; ; statements += 1) {
        cutter.arm(statements, [cut.id, cut.stage.clusterId, cut.stage.publisher.product]);
        const answer = await doCut().catch(broken);
        const { cutAfter } = cutter;
        cutter.arm(0);
        if (cutAfter === null) break;
        if (!isDone) {
          cuts[what] = statements;
          expect([what, statements, statusOf(answer)]).toEqual([what, statements, 503]);
        }
        isDone ||= cutAfter === 'COMMIT';
        expect([what, statements, await cut.looks()]).toEqual([what, statements, isDone ? due : was]);
      }
      expect([what, await cut.looks()]).toEqual([what, due]);
      expect([what, await cut.generations()]).toEqual([what, await calm.generations()]);
    }
    expect((await cut.stage.rollout(cut.id)).state).toBe('rolled_back');
    expect(Object.keys(cuts)).toEqual(LIFE.map(([what]) => what));
    for (const [what, statements] of Object.entries(cuts))
      expect([what, statements >= 8]).toEqual([what, true]);
  }, 900_000);
});

/** A tick that fails throws; it is repeated by the next one. Whatever it throws: an error of a socket is of Node's own realm,
 *  where no `Error` of this one is its class. */
function broken(): Pick<Answer, 'status'> {
  return { status: 503 };
}

function statusOf(answer: Pick<Answer, 'status'> | undefined): number {
  return answer?.status ?? 200;
}
