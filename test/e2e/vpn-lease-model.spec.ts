import { afterAll, beforeAll, it } from '@jest/globals';
import fc from 'fast-check';
import { Jobs } from '../../src/common/jobs/jobs.js';
import { type Answer, type Api, apiClient } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created } from '../support/given.js';
import {
  type Call,
  inForce,
  type LeaseModel,
  type NodeName,
  type Period,
  type Said,
  step,
  tokenOf,
  type WhichToken,
} from '../support/lease-model.js';
import { type Lease, stopClock, type VpnNode, VpnStage, type VpnTunnel } from '../support/vpn.js';

const limits = {
  principalPerMinute: 1_000_000,
  nodePerMinute: 1_000_000,
  unknownCredentialsPerMinute: 100_000,
};
const TTL_SECONDS = 30;
const RUNS = Number(process.env.MODEL_RUNS ?? 15);

let plane: ControlPlane;
let instances: ControlPlane[];
let stage: VpnStage;
let nodes: VpnNode[];
/** The nodes at each instance. */
let agents: Api[][];
beforeAll(async () => {
  plane = await startControlPlane({ config: { limits } });
  instances = [plane, await startControlPlane({ beside: plane, config: { limits } })];
  stage = await VpnStage.open(plane);
  nodes = await stage.nodes(3);
  const tokens = await Promise.all(
    nodes.map(
      async (each) => (created(await each.node.requestToken()) as { access_token: string }).access_token,
    ),
  );
  agents = instances.map(({ url }) => tokens.map((token) => apiClient(url, token)));
  await stopClock(plane);
});
afterAll(async () => {
  for (const instance of [...(instances ?? [])].reverse()) await instance.close();
});

/** Every state that explains what was answered until now; what can be seen is the same in all of them. */
interface Holder {
  models: LeaseModel[];
}
type Command = fc.AsyncCommand<Holder, VpnTunnel>;

/** Some calls at once, at two instances: what they answer must be what some order of them would have answered. */
class Together implements Command {
  constructor(private readonly calls: readonly Call[]) {}

  check = () => true;

  async run(holder: Holder, tunnel: VpnTunnel): Promise<void> {
    const [before] = holder.models as [LeaseModel];
    const named = this.calls.map((call) => {
      const which = 'token' in call ? call.token : null;
      return { call, token: which === null ? 0 : tokenOf(before, which) };
    });
    const said = await Promise.all(
      named.map(async ({ call, token }, at) => saidBy(call, await make(tunnel, call, token, at % 2))),
    );
    const after = new Map(
      holder.models
        .flatMap((model) => explanations(model, named, said))
        .map((model) => [JSON.stringify(model), model]),
    );
    const told = named.map(({ call, token }, at) => JSON.stringify([call, token, said[at]])).join('\n');
    if (after.size === 0)
      throw new Error(`No order of these calls answers so:\n${told}\nfrom ${JSON.stringify(holder.models)}`);
    holder.models = await seenSo(tunnel, [...after.values()], told);
  }

  toString = () => `together(${JSON.stringify(this.calls)})`;
}

class Pass implements Command {
  constructor(private readonly seconds: number) {}

  check = () => true;

  async run(holder: Holder, tunnel: VpnTunnel): Promise<void> {
    await stage.advance(this.seconds);
    const later = holder.models.map((model) => ({ ...model, now: model.now + this.seconds * 1_000 }));
    holder.models = await seenSo(tunnel, later, this.toString());
  }

  toString = () => `pass(${this.seconds})`;
}

/** The model after each order of the calls that answers as was answered. Busy ones did nothing. */
function explanations(
  model: LeaseModel,
  named: readonly { call: Call; token: number }[],
  said: readonly Said[],
): LeaseModel[] {
  const search = (now: LeaseModel, rest: readonly number[]): LeaseModel[] =>
    rest.length === 0
      ? [now]
      : rest.flatMap((at) => {
          const { call, token } = named[at] as { call: Call; token: number };
          const heard = said[at] as Said;
          const [next, expected] = heard.status === 503 ? [now, heard] : step(now, call, token);
          const isSo = JSON.stringify(sorted(expected)) === JSON.stringify(sorted(heard));
          return isSo
            ? search(
                next,
                rest.filter((other) => other !== at),
              )
            : [];
        });
  return search(model, [...named.keys()]);
}

function sorted(said: Said): unknown {
  return Object.entries(said).sort(([one], [other]) => one.localeCompare(other));
}

async function make(tunnel: VpnTunnel, call: Call, fencingToken: number, at: number): Promise<Answer> {
  const instance = instances[at] as ControlPlane;
  const platform = (what: string, body: object) => instance.api.post(`${tunnel.path}/lease/${what}`, body);
  const cluster = `/clusters/${stage.clusterId}`;
  if (call.kind === 'worker') {
    // Twice: a doubled worker must do no more than one.
    await Promise.all(instances.map(({ app }) => app.get(Jobs).runNow('vpn', 'lease-expiry')));
    return instance.api.get(tunnel.path);
  }
  if (call.kind === 'fence') {
    const { token, holdSeconds } = call;
    const named = token === null ? {} : { fencingToken };
    return platform('fence', { reason: 'test', ...named, ...(holdSeconds === null ? {} : { holdSeconds }) });
  }
  if (call.kind === 'connection')
    return instance.api.patch(tunnel.path, { desiredState: call.isOn ? 'enabled' : 'disabled' });
  if (call.kind === 'authority') {
    const { term } = (await instance.api.get(`${cluster}/authority`)).body;
    const to = call.isOn ? 'authoritative' : 'degraded';
    return instance.api.post(`${cluster}/authority/transitions`, { to, reason: 'test', expectedTerm: term });
  }
  const { id: nodeId, assignment } = nodes[call.node] as VpnNode;
  switch (call.kind) {
    case 'handover':
      return platform('handover', { toNodeId: nodeId, reserveSeconds: call.reserveSeconds });
    case 'membership':
      return instance.api.post(`${cluster}/nodes/${nodeId}/${call.isOn ? 'enable' : 'disable'}`);
    case 'role':
      return instance.api.post(`${assignment}/${call.isOn ? 'enable' : 'disable'}`);
    case 'allowed': {
      for (;;) {
        const { headers, body } = await instance.api.get(tunnel.path);
        const others = (body.allowedNodeIds as string[]).filter((id) => id !== nodeId);
        const nodeIds = call.isOn ? [...others, nodeId] : others;
        const ifMatch = { 'if-match': headers.get('etag') ?? '' };
        const answer = await instance.api.put(`${tunnel.path}/allowed-nodes`, { nodeIds }, ifMatch);
        if (answer.status !== 412) return answer;
      }
    }
    default: {
      const act = call.kind;
      const body = act === 'acquire' ? {} : { fencingToken };
      if (call.via === 'platform') return platform(act, { nodeId, ...body });
      const agent = agents[at]?.[call.node] as Api;
      return agent.post(`/node-agents/me/vpn-connections/${tunnel.id}/lease/${act}`, body);
    }
  }
}

/** What of an answer the model speaks of. */
function saidBy(call: Call, { status, body }: Answer): Said {
  if (status >= 400) {
    const { code, reasons, expiresAt } = body;
    return {
      status,
      code,
      ...(reasons === undefined ? {} : { reasons }),
      ...(expiresAt === undefined ? {} : { expiresAt: Date.parse(expiresAt) }),
    };
  }
  if (call.kind === 'fence') {
    const { lease, nextTokenAbove } = body;
    return { status, nextTokenAbove, ...(lease === null ? {} : { token: lease.fencingToken }) };
  }
  if (call.kind !== 'acquire' && call.kind !== 'renew' && call.kind !== 'release') return { status };
  const { fencingToken: token, expiresAt, releaseRequested } = body;
  return { status, token, expiresAt: Date.parse(expiresAt), releaseRequested };
}

/** The models whose owner periods are those that can be seen, to the millisecond. @throws when there is none */
async function seenSo(tunnel: VpnTunnel, models: LeaseModel[], told: string): Promise<LeaseModel[]> {
  const { status, body } = await tunnel.active();
  const active = status === 200 ? (body as Lease).fencingToken : null;
  const shown = JSON.stringify((await tunnel.leases()).reverse().map(periodOf));
  const fitting = models.filter((model) => {
    const periods = model.periods.map((period) => asSeen(period, model));
    return (inForce(model)?.token ?? null) === active && JSON.stringify(periods) === shown;
  });
  if (fitting.length === 0)
    throw new Error(
      `After\n${told}\nit shows ${active} active of ${shown}\nnot any of ${JSON.stringify(models)}`,
    );
  return fitting;
}

function asSeen(period: Period, model: LeaseModel): Period {
  return period.status === 'active' && period.token !== inForce(model)?.token
    ? { ...period, status: 'expired', endedAt: period.expiresAt, endReason: 'expired' }
    : period;
}

function periodOf(lease: Lease): Period {
  const at = (instant: string) => Date.parse(instant);
  return {
    node: nodes.findIndex(({ id }) => id === lease.ownerNodeId) as NodeName,
    token: lease.fencingToken,
    status: lease.status as Period['status'],
    acquiredAt: at(lease.acquiredAt),
    renewedAt: at(lease.renewedAt),
    expiresAt: at(lease.expiresAt),
    endedAt: lease.endedAt === null ? null : at(lease.endedAt),
    endReason: lease.endReason,
  };
}

/** One more than the others, so that much is done with leases and not only refused. */
const node = fc.constantFrom<NodeName>(0, 0, 0, 0, 1, 1, 2);
const via = fc.constantFrom('node' as const, 'platform' as const);
const token = fc.oneof(
  { weight: 6, arbitrary: fc.constant<WhichToken>('last') },
  { weight: 2, arbitrary: fc.constant<WhichToken>('former') },
  { weight: 1, arbitrary: fc.constant<WhichToken>('unknown') },
);
const isOn = fc.oneof(
  { weight: 2, arbitrary: fc.constant(true) },
  { weight: 1, arbitrary: fc.constant(false) },
);
const kind = <K extends Call['kind']>(...names: K[]) => fc.constantFrom(...names);
const calls: fc.Arbitrary<Call> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: kind('acquire'), node, via }) },
  { weight: 9, arbitrary: fc.record({ kind: kind('renew', 'release'), node, via, token }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: kind('fence'),
      token: fc.option(token),
      holdSeconds: fc.option(fc.constantFrom(0, 10, 60)),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: kind('handover'), node, reserveSeconds: fc.constantFrom(5, 40) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: kind('membership', 'role', 'allowed'), node, isOn }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('connection'), isOn }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('worker') }) },
);

/** Authority moves one at a time, and only to where it is not. */
class MoveAuthority extends Together {
  private readonly isOn: boolean;

  constructor(isOnNext: boolean, beside: readonly Call[]) {
    super([{ kind: 'authority', isOn: isOnNext }, ...beside]);
    this.isOn = isOnNext;
  }

  override check = ((holder: Readonly<Holder>) =>
    holder.models[0]?.isAuthoritative !== this.isOn) as () => boolean;
}

const history = fc.commands(
  [
    fc.array(calls, { minLength: 1, maxLength: 1 }).map((some) => new Together(some)),
    fc.array(calls, { minLength: 1, maxLength: 1 }).map((some) => new Together(some)),
    fc.array(calls, { minLength: 2, maxLength: 5 }).map((some) => new Together(some)),
    fc.constantFrom(1, 9, 29, 30, 31, 70).map((seconds) => new Pass(seconds)),
    fc
      .tuple(fc.boolean(), fc.array(calls, { maxLength: 2 }))
      .map(([isOnNext, beside]) => new MoveAuthority(isOnNext, beside)),
  ],
  { maxCommands: 45, size: 'max' },
);

/** A connection that all may hold, with everybody as at the beginning. */
async function begin(): Promise<{ model: Holder; real: VpnTunnel }> {
  const cluster = `/clusters/${stage.clusterId}`;
  const { state, term } = (await plane.api.get(`${cluster}/authority`)).body;
  if (state !== 'authoritative') {
    const to = { to: 'authoritative', reason: 'test', expectedTerm: term };
    created(await plane.api.post(`${cluster}/authority/transitions`, to));
  }
  for (const { id, assignment } of nodes) {
    created(await plane.api.post(`${cluster}/nodes/${id}/enable`));
    created(await plane.api.post(`${assignment}/enable`));
  }
  const tunnel = await stage.connection(nodes, { leaseTtlSeconds: TTL_SECONDS });
  const [row] = await plane.database.query<{ now: Date; term: number }>(
    'SELECT fabric_now() AS now, a.term::int AS term FROM cluster_authorities AS a WHERE a.cluster_id = $1',
    [stage.clusterId],
  );
  const model: LeaseModel = {
    now: Number(row?.now),
    term: Number(row?.term),
    isAuthoritative: true,
    sequence: 0,
    ttlSeconds: TTL_SECONDS,
    isEnabled: true,
    nodes: nodes.map(() => ({ isActive: true, hasRole: true, isAllowed: true })),
    periods: [],
    heldUntil: 0,
    reservation: null,
  };
  return { model: { models: [model] }, real: tunnel };
}

it('leases are what they would be if every call had come alone, in some order, whoever calls at once', async () => {
  await fc.assert(
    fc.asyncProperty(history, async (commands) => {
      const started = await begin();
      await fc.asyncModelRun(() => started, commands);
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
}, 600_000);
