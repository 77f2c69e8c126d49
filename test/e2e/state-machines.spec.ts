import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc, { type AsyncCommand } from 'fast-check';
import type { JWK } from 'jose';
import { Jobs } from '../../src/common/jobs/jobs.js';
import type { Api } from '../support/api.js';
import { Applicant } from '../support/applicant.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given } from '../support/given.js';
import { type FreshKey, freshKey, rotationBody, signWith } from '../support/rotation.js';
import { TestNode } from '../support/test-node.js';

/**
 * Random histories against the real service, beside a model of a few lines that says what must come of each step. After
 * every step the rows are compared with the model, so that a state which changes unseen is found at once.
 */

const limits = {
  unknownCredentialsPerMinute: 1_000_000,
  principalPerMinute: 1_000_000,
  nodePerMinute: 1_000_000,
};

let plane: ControlPlane;
let api: Api;
beforeAll(async () => {
  // Without workers: what has expired is written down when a step says so, not when a minute is over.
  plane = await startControlPlane({ config: { limits, role: 'api' } });
  api = plane.api;
});
afterAll(() => plane?.close());

/** A step, by its name and what it does to the model and to the service. */
function step<M extends object, R>(
  name: string,
  run: (model: M, real: R) => Promise<void>,
  after: (model: M, real: R) => Promise<void>,
): AsyncCommand<M, R> {
  return {
    check: () => true,
    run: async (model, real) => {
      await run(model, real);
      await after(model, real);
    },
    toString: () => name,
  };
}

describe('join requests', () => {
  const HOSTS = 4;
  const MAX_USES = 2;
  type Status = 'pending' | 'approved' | 'rejected' | 'cancelled' | 'expired';

  interface Model {
    /** By host; one that never got through has none. `isDue`: over, and nobody has written it down. */
    requests: Map<number, { status: Status; isDue: boolean; givenBackAt: string | null }>;
    tokenIsOver: boolean;
  }
  interface Real {
    clusterId: string;
    tokenId: string;
    token: string;
    hosts: Applicant[];
    ids: Map<number, string>;
  }

  const statusIn = ({ requests }: Model, host: number): Status | null => {
    const request = requests.get(host);
    if (request === undefined) return null;
    return request.status === 'pending' && request.isDue ? 'expired' : request.status;
  };
  const usesIn = (model: Model) =>
    [...model.requests.keys()].filter((host) => ['pending', 'approved'].includes(statusIn(model, host) ?? ''))
      .length;
  const decide = (model: Model, host: number, status: Status) => {
    const request = model.requests.get(host);
    if (request !== undefined) request.status = status;
  };

  /** What the rows say is what the model says; what was given back stays as it was given back. */
  async function compare(model: Model, { clusterId, tokenId, hosts, ids }: Real): Promise<void> {
    const { items } = (await api.get(`/clusters/${clusterId}/join-requests?tokenId=${tokenId}`)).body;
    const shown = new Map(items.map(({ id, status }: { id: string; status: Status }) => [id, status]));
    const nodes = (await api.get(`/clusters/${clusterId}/nodes`)).body.items.length;
    const { usedCount } = (await api.get(`/clusters/${clusterId}/join-tokens/${tokenId}`)).body;
    const uses = await plane.database.query<{ key: string; at: Date | null }>(
      'SELECT key_thumbprint AS key, given_back_at AS at FROM node_join_token_uses WHERE token_id = $1',
      [tokenId],
    );
    const expected = [...model.requests.keys()].map((host) => [ids.get(host), statusIn(model, host)]);
    expect([...shown].sort()).toEqual(expected.sort());
    const approved = [...model.requests.values()].filter(({ status }) => status === 'approved').length;
    expect({ nodes, usedCount, uses: uses.length }).toEqual({
      nodes: approved,
      usedCount: usesIn(model),
      uses: model.requests.size,
    });
    for (const [host, request] of model.requests) {
      const at = uses.find(({ key }) => key === hosts[host]?.thumbprint)?.at?.toISOString() ?? null;
      if (request.givenBackAt !== null) expect(at).toBe(request.givenBackAt);
      // An expiry that nobody has written down frees the use all the same; the row tells later.
      expect(at !== null).toBe(['rejected', 'cancelled', 'expired'].includes(request.status));
      request.givenBackAt = at;
    }
  }

  const path = ({ clusterId, ids }: Real, host: number) =>
    `/clusters/${clusterId}/join-requests/${ids.get(host)}`;
  const reject = (real: Real, host: number) => api.post(`${path(real, host)}/reject`, { reason: 'No.' });
  const approve = (real: Real, host: number) => api.post(`${path(real, host)}/approve`);
  const cancel = (real: Real, host: number) =>
    (real.hosts[host] as Applicant).cancel(real.ids.get(host) ?? '');

  const onHost = (name: string, run: (model: Model, real: Real, host: number) => Promise<void>) =>
    fc
      .nat(HOSTS - 1)
      .map((host) => step<Model, Real>(`${name}(${host})`, (model, real) => run(model, real, host), compare));
  /** A step that only a host with a request takes. */
  const onRequest = (name: string, run: (model: Model, real: Real, host: number) => Promise<void>) =>
    onHost(name, async (model, real, host) => {
      if (model.requests.has(host)) await run(model, real, host);
    });

  const COMMANDS = [
    onHost('enroll', async (model, real, host) => {
      const answer = await (real.hosts[host] as Applicant).enroll(real.token);
      const known = statusIn(model, host);
      const admits = known !== null || (!model.tokenIsOver && usesIn(model) < MAX_USES);
      expect(answer.status).toBe(admits ? 202 : 401);
      if (!admits) return;
      expect(answer.body.status).toBe(known ?? 'pending');
      real.ids.set(host, answer.body.joinRequestId);
      if (known === null) model.requests.set(host, { status: 'pending', isDue: false, givenBackAt: null });
    }),
    onRequest('approve', async (model, real, host) => {
      const isOpen = statusIn(model, host) === 'pending';
      expect((await approve(real, host)).status).toBe(isOpen ? 200 : 409);
      if (isOpen) decide(model, host, 'approved');
    }),
    onRequest('reject', async (model, real, host) => {
      const isOpen = statusIn(model, host) === 'pending';
      expect((await reject(real, host)).status).toBe(isOpen ? 200 : 409);
      if (isOpen) decide(model, host, 'rejected');
    }),
    onRequest('cancel', async (model, real, host) => {
      const status = statusIn(model, host);
      expect((await cancel(real, host)).status).toBe(
        status === 'pending' || status === 'cancelled' ? 204 : 409,
      );
      if (status === 'pending') decide(model, host, 'cancelled');
    }),
    onRequest('all at once', async (model, real, host) => {
      const isOpen = statusIn(model, host) === 'pending';
      const wasCancelled = statusIn(model, host) === 'cancelled';
      const [approved, rejected, cancelled] = await Promise.all([
        approve(real, host),
        reject(real, host),
        cancel(real, host),
      ]);
      const wins = [
        approved.status === 200,
        rejected.status === 200,
        cancelled.status === 204 && !wasCancelled,
      ];
      expect(wins.filter((won) => won)).toHaveLength(isOpen ? 1 : 0);
      if (isOpen)
        decide(
          model,
          host,
          (['approved', 'rejected', 'cancelled'] as const)[wins.indexOf(true)] ?? 'pending',
        );
    }),
    onRequest('time passes for', async (model, real, host) => {
      await plane.database.query(
        'UPDATE node_join_requests SET expires_at = now() - make_interval(secs => 0.001) WHERE id = $1',
        [real.ids.get(host)],
      );
      const request = model.requests.get(host);
      if (request?.status === 'pending') request.isDue = true;
    }),
    fc.constant(
      step<Model, Real>(
        'the worker runs',
        async (model) => {
          const jobs = plane.app.get(Jobs);
          await Promise.all([jobs.runNow('enrollment', 'expiry'), jobs.runNow('enrollment', 'expiry')]);
          for (const [host, request] of model.requests)
            if (request.status === 'pending' && request.isDue) decide(model, host, 'expired');
        },
        compare,
      ),
    ),
    fc.constant(
      step<Model, Real>(
        'the token is revoked',
        async (model, { clusterId, tokenId }) => {
          created(await api.post(`/clusters/${clusterId}/join-tokens/${tokenId}/revoke`));
          model.tokenIsOver = true;
        },
        compare,
      ),
    ),
  ];

  it('are decided once, give their use back once and never leave an end, whatever happens in which order', async () => {
    const commands = fc.commands([...COMMANDS.slice(0, 7), ...COMMANDS], { maxCommands: 16, size: 'max' });
    await fc.assert(
      fc.asyncProperty(commands, async (history) => {
        const clusterId = (await given(plane).cluster()).id;
        const { id: tokenId, token } = await given(plane).joinToken(clusterId, { maxUses: MAX_USES });
        const hosts = Array.from({ length: HOSTS }, () => new Applicant(plane.url));
        const setup = () => ({
          model: { requests: new Map(), tokenIsOver: false } as Model,
          real: { clusterId, tokenId, token, hosts, ids: new Map<number, string>() },
        });
        await fc.asyncModelRun(setup, history);
      }),
      { numRuns: 12, endOnFailure: true },
    );
  });
});

describe('identities', () => {
  const KEYS = 6;

  interface Model {
    /** In the order in which they became the key of the node. */
    history: number[];
    /** Those of them that follow each other by rotation; the last one is the active one. Empty: the node has none. */
    chain: number[];
    /** Replaced keys within their overlap. */
    overlapping: Set<number>;
    /** Keys that were revoked, alone or with the active one. */
    revoked: Set<number>;
    /** The membership is, with all of its keys. */
    isRevoked: boolean;
  }
  interface Real {
    node: TestNode;
    agent: Api;
    keys: FreshKey[];
  }

  const active = ({ chain }: Model) => chain.at(-1);
  const previous = ({ chain, revoked }: Model) => {
    const key = chain.at(-2);
    return key === undefined || revoked.has(key) ? undefined : key;
  };
  const works = (model: Model, key: number) =>
    !model.revoked.has(key) && (active(model) === key || model.overlapping.has(key));
  const revokeAll = (model: Model) => {
    for (const key of model.history) model.revoked.add(key);
    model.chain = [];
  };

  async function compare(model: Model, { node, keys }: Real): Promise<void> {
    const rows = await plane.database.query<{ x: string; status: string; works: boolean }>(
      `SELECT i.public_key ->> 'x' AS x, i.identity_status AS status, coalesce(i.valid_until > now(), false) AS works
         FROM node_identities AS i WHERE i.node_id = $1 ORDER BY i.created_at, i.id`,
      [node.nodeId],
    );
    expect(rows.map(({ x }) => keys.findIndex(({ publicJwk }) => publicJwk.x === x))).toEqual(model.history);
    const expected = model.history.map((key) => {
      if (model.revoked.has(key)) return 'revoked';
      return key === active(model) ? 'active' : 'rotated';
    });
    expect(rows.map(({ status }) => status)).toEqual(expected);
    const isRevoked = (_: unknown, index: number) => model.revoked.has(model.history[index] ?? -1);
    expect(rows.map((row, index) => row.works && !isRevoked(row, index))).toEqual(
      model.history.map((key) => model.overlapping.has(key) && !model.revoked.has(key)),
    );
  }

  const anyKey = fc.nat(KEYS - 1);
  /** Keys by what they are when the step is taken; blind draws would seldom hit the ones that matter. */
  const drawn = (model: Model, which: string, draw: number): number => {
    const { history } = model;
    const fresh = Array.from({ length: KEYS }, (_, key) => key).filter((key) => !history.includes(key));
    if (which === 'active') return active(model) ?? draw;
    if (which === 'previous') return previous(model) ?? draw;
    return (which === 'fresh' ? fresh[draw % Math.max(1, fresh.length)] : undefined) ?? draw;
  };
  const signers = fc.constantFrom('active', 'active', 'previous', 'any');
  const goals = fc.constantFrom('fresh', 'fresh', 'active', 'any');
  const rotate = fc.tuple(signers, anyKey, goals, anyKey).map(([signer, left, goal, right]) =>
    step<Model, Real>(
      `rotate(by ${signer} ${left} to ${goal} ${right})`,
      async (model, { node, agent, keys }) => {
        const [by, to] = [drawn(model, signer, left), drawn(model, goal, right)];
        const [old, next] = [keys[by] as FreshKey, keys[to] as FreshKey];
        const body = await rotationBody(node, next, { outer: { sign: (payload) => signWith(old, payload) } });
        const current = active(model);
        const caller = current === undefined ? agent : await node.withKey(keys[current] as FreshKey).api();
        const answer = await caller.post('/node-agents/me/identity/rotate', body);
        const outcome = [answer.status, answer.body.code];
        if (current === undefined) expect(answer.status).toBe(401);
        else if (by === active(model) && !model.history.includes(to)) {
          expect(answer.status).toBe(200);
          model.overlapping.add(by);
          model.history.push(to);
          model.chain.push(to);
        } else if (by === active(model)) expect(outcome).toEqual([409, 'key_already_enrolled']);
        else if (by === previous(model) && to === active(model)) expect(answer.status).toBe(200);
        else if (by === previous(model)) expect(outcome).toEqual([409, 'identity_already_rotated']);
        else expect(outcome).toEqual([401, 'proof_invalid']);
      },
      compare,
    ),
  );
  const token = anyKey.map((key) =>
    step<Model, Real>(
      `token(${key})`,
      async (model, { node, keys }) => {
        const { status } = await node.withKey(keys[key] as FreshKey).requestToken();
        expect(status).toBe(works(model, key) ? 200 : 401);
      },
      compare,
    ),
  );
  const overlapEnds = fc.constant(
    step<Model, Real>(
      'the overlap ends',
      async (model, { node }) => {
        await plane.database.query(
          `UPDATE node_identities SET valid_until = now() - make_interval(secs => 0.001) WHERE node_id = $1 AND identity_status = 'rotated'`,
          [node.nodeId],
        );
        model.overlapping.clear();
      },
      compare,
    ),
  );
  const membership = (action: 'disable' | 'enable') =>
    fc.constant(
      step<Model, Real>(
        action,
        async (model, { node: { clusterId, nodeId } }) => {
          const { status } = await api.post(`/clusters/${clusterId}/nodes/${nodeId}/${action}`);
          const cannot = model.isRevoked || (action === 'enable' && active(model) === undefined);
          expect(status).toBe(cannot ? 409 : 200);
        },
        compare,
      ),
    );
  const revoke = fc.constant(
    step<Model, Real>(
      'revoke',
      async (model, { node: { clusterId, nodeId } }) => {
        created(await api.post(`/clusters/${clusterId}/nodes/${nodeId}/revoke`, { reason: 'Stolen.' }));
        model.isRevoked = true;
        revokeAll(model);
      },
      compare,
    ),
  );
  const revokeKey = fc
    .tuple(fc.constantFrom('active', 'previous', 'previous', 'any'), anyKey)
    .map(([which, draw]) =>
      step<Model, Real>(
        `revoke key(${which} ${draw})`,
        async (model, { node: { clusterId, nodeId }, keys }) => {
          const key = drawn(model, which, draw);
          const { keys: known } = (await api.get(`/clusters/${clusterId}/nodes/${nodeId}/identity`)).body;
          const id = known.find(
            ({ publicKey }: { publicKey: JWK }) => publicKey.x === keys[key]?.publicJwk.x,
          )?.id;
          const path = `/clusters/${clusterId}/nodes/${nodeId}/identities/${id ?? nodeId}/revoke`;
          const { status } = await api.post(path, { reason: 'Leaked.' });
          expect(status).toBe(model.history.includes(key) ? 200 : 404);
          if (status !== 200) return;
          if (key === active(model)) revokeAll(model);
          model.revoked.add(key);
        },
        compare,
      ),
    );
  const comeBack = anyKey.map((draw) =>
    step<Model, Real>(
      `come back(${draw})`,
      async (model, { node, keys }) => {
        const to = drawn(model, 'fresh', draw);
        const host = node.withKey(keys[to] as FreshKey);
        created(await host.enroll((await given(plane).joinToken(node.clusterId)).token));
        const path = `/clusters/${node.clusterId}/join-requests/${host.joinRequestId}/approve`;
        const override = { reason: 'It is the host.' };
        const answer = await api.post(path, { existingNodeId: node.nodeId, override });
        const outcome = [answer.status, answer.body.code];
        if (model.isRevoked) expect(outcome).toEqual([409, 'membership_revoked']);
        else if (active(model) !== undefined) expect(outcome).toEqual([409, 'node_already_member']);
        else if (model.history.includes(to)) expect(outcome).toEqual([409, 'key_already_enrolled']);
        else {
          expect(answer.status).toBe(200);
          model.history.push(to);
          model.chain = [to];
        }
      },
      compare,
    ),
  );

  it('have one key at a time, no key twice, and none after the end, whatever happens in which order', async () => {
    const often = [
      rotate,
      rotate,
      rotate,
      token,
      token,
      overlapEnds,
      membership('disable'),
      membership('enable'),
      revokeKey,
      comeBack,
    ];
    const commands = fc.commands([...often, ...often, ...often, revoke], { maxCommands: 16, size: 'max' });
    const clusterId = (await given(plane).cluster()).id;
    await fc.assert(
      fc.asyncProperty(commands, async (history) => {
        const keys = await Promise.all(Array.from({ length: KEYS }, () => freshKey()));
        const node = (await TestNode.make(plane.url)).withKey(keys[0] as FreshKey);
        created(await node.enroll((await given(plane).joinToken(clusterId)).token));
        const path = `/clusters/${clusterId}/join-requests/${node.joinRequestId}/approve`;
        node.nodeId = (created(await api.post(path)) as { approvedNodeId: string }).approvedNodeId;
        const agent = await node.api();
        const setup = () => ({
          model: {
            history: [0],
            chain: [0],
            overlapping: new Set<number>(),
            revoked: new Set<number>(),
            isRevoked: false,
          } as Model,
          real: { node, agent, keys },
        });
        await fc.asyncModelRun(setup, history);
      }),
      { numRuns: 12, endOnFailure: true },
    );
  });
});
