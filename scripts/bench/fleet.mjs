import { randomUUID } from 'node:crypto';
import { BenchNode } from './bench-node.mjs';

/** At which tokens are asked for and snapshots are fetched. */
const CONNECTIONS = 32;
/** Keys and assertions of so many nodes are made, and their requests sent, before the next. */
const BATCH = 2_000;
/** Tokens live for 15 minutes; older ones than this are renewed before the next measurement. */
const RENEW_AFTER_MS = 5 * 60_000;
/** Rarely, so that no node falls silent during the benchmark, which would be work for the health watch. */
const HEARTBEAT_SECONDS = 3_600;
/** The longest, so that hardly any snapshot is issued again, which would be answered although nothing has changed. */
const SNAPSHOT_LIFETIME_SECONDS = 2_592_000;
const FIRST_GRACE_SECONDS = 86_400;

/** One cluster and its nodes: some enrolled over the API, more written into the tables, with real keys or without. */
export class Fleet {
  nodes = [];
  #stage;
  #tokensAt = new Map();
  #changes = 0;

  constructor(stage) {
    this.#stage = stage;
  }

  /** Makes the cluster. */
  async found() {
    const { id } = await this.#stage.call('POST', '/clusters', { name: 'Benchmark' });
    this.clusterId = id;
    this.path = `/clusters/${id}`;
    await this.#stage.call('PUT', `${this.path}/policy`, this.nextPolicy());
  }

  /** A policy that changes the snapshot of every node, each time it is asked for. */
  nextPolicy() {
    this.#changes += 1;
    return {
      heartbeatSeconds: HEARTBEAT_SECONDS,
      snapshotLifetimeSeconds: SNAPSHOT_LIFETIME_SECONDS,
      degradedGraceSeconds: FIRST_GRACE_SECONDS + this.#changes,
    };
  }

  /** Lets nodes join over the API. @returns what it took: `received` and `approved` requests a second */
  async enroll(count) {
    const { load, url, port, ownerToken } = this.#stage;
    const { token: joinToken } = await this.#stage.call('POST', `${this.path}/join-tokens`, {
      maxUses: count,
    });
    const joining = makeNodes(`real-${this.nodes.length}`, count);
    const received = await load.do('list', {
      port,
      connections: CONNECTIONS,
      requests: joining.map((node) => node.enrollment({ url, joinToken })),
      expect: 202,
      keep: 'body',
    });
    const approved = await load.do('list', {
      port,
      connections: CONNECTIONS,
      requests: received.answers.map(({ joinRequestId }) => approval(this.path, joinRequestId, ownerToken)),
      expect: 200,
      keep: 'body',
    });
    for (const [at, { approvedNodeId }] of approved.answers.entries()) joining[at].nodeId = approvedNodeId;
    this.nodes.push(...joining);
    return { received, approved };
  }

  /** Writes as many nodes with real keys into the tables as are missing to have `count` of them. */
  async growTo(count) {
    while (this.nodes.length < count) {
      const some = makeNodes(`seeded-${this.nodes.length}`, Math.min(BATCH, count - this.nodes.length));
      for (const node of some) node.nodeId = randomUUID();
      await this.#stage.database.query(SEED_WITH_KEYS, [
        this.clusterId,
        some.map((node) => node.nodeId),
        some.map((node) => node.name),
        some.map((node) => JSON.stringify(node.publicKey)),
        some.map((node) => node.thumbprint),
      ]);
      this.nodes.push(...some);
    }
    await this.#analyze();
  }

  /** Writes rows of nodes that never call until the cluster has `count` members. */
  async fillTo(count) {
    const { rows } = await this.#stage.database.query(
      'SELECT count(*)::int AS members FROM cluster_memberships AS m WHERE m.cluster_id = $1',
      [this.clusterId],
    );
    const [{ members }] = rows;
    if (members < count)
      await this.#stage.database.query(SEED_WITHOUT_KEYS, [this.clusterId, members + 1, count]);
    await this.#analyze();
  }

  /** Gives a token to each of the first `count` nodes that lacks a fresh one. @returns how many a second, or null */
  async authenticate(count) {
    const { load, url, port } = this.#stage;
    const outdated = Date.now() - RENEW_AFTER_MS;
    const asking = this.nodes.slice(0, count).filter((node) => (this.#tokensAt.get(node) ?? 0) < outdated);
    let seconds = 0;
    for (let at = 0; at < asking.length; at += BATCH) {
      const some = asking.slice(at, at + BATCH);
      const requests = some.map((node) => node.tokenRequest({ url, clusterId: this.clusterId }));
      const { answers, perSecond } = await load.do('list', {
        port,
        connections: CONNECTIONS,
        requests,
        expect: 200,
        keep: 'body',
      });
      seconds += some.length / perSecond;
      for (const [n, node] of some.entries()) {
        node.token = answers[n].access_token;
        this.#tokensAt.set(node, Date.now());
      }
    }
    return asking.length === 0 ? null : { perSecond: asking.length / seconds };
  }

  /** Forgets the tokens, so that the next call asks for all of them again. */
  forgetTokens() {
    this.#tokensAt.clear();
  }

  /** Fetches the snapshots of the first `count` nodes. @returns how many a second */
  async fetchSnapshots(count) {
    const { load, port } = this.#stage;
    const polling = this.nodes.slice(0, count);
    const requests = polling.map((node) => node.poll());
    const fetched = await load.do('list', {
      port,
      connections: CONNECTIONS,
      requests,
      expect: 200,
      keep: 'etag',
    });
    for (const [at, node] of polling.entries()) node.etag = fetched.answers[at];
    return { perSecond: fetched.perSecond, p50: fetched.p50, p99: fetched.p99 };
  }

  /** Changes the snapshot of every node, and waits until the service knows of it. */
  async changeAll() {
    const { load, port } = this.#stage;
    const [first] = this.nodes;
    await this.#stage.call('PUT', `${this.path}/policy`, this.nextPolicy());
    // Held until the new one is there.
    const requests = [first.poll(first.etag, 55)];
    await load.do('list', { port, connections: 1, requests, expect: 200 });
  }

  /** The fresh statistics that a table of such size would have. */
  #analyze() {
    return this.#stage.database.query(
      'ANALYZE nodes, cluster_memberships, node_identities, node_liveness, node_health_records, node_role_assignments',
    );
  }
}

function makeNodes(prefix, count) {
  return Array.from({ length: count }, (_, at) => new BenchNode(`${prefix}-${at}`));
}

function approval(clusterPath, joinRequestId, token) {
  const lines = [
    `POST /api/v1${clusterPath}/join-requests/${joinRequestId}/approve HTTP/1.1`,
    'Host: 127.0.0.1',
    `Authorization: Bearer ${token}`,
    'Content-Length: 0',
  ];
  return `${lines.join('\r\n')}\r\n\r\n`;
}

/** What every seeded node has beside its identity: a membership with a role, and the liveness of one that reported. */
const SEED_REST = `
  ), written_nodes AS (
    INSERT INTO nodes (id, machine_id) SELECT s.id, 'machine-' || s.name FROM seed AS s
  ), members AS (
    INSERT INTO cluster_memberships (cluster_id, node_id, name, capabilities, facts, agent_version, os, arch, labels, joined_at)
    SELECT $1::uuid, s.id, s.name, '{can_run_vpn_exit}',
           jsonb_build_object('os', 'linux', 'arch', 'x64', 'hostname', s.name, 'machineId', 'machine-' || s.name),
           '0.1.0', 'linux', 'x64', '{"ring": "steady"}', now() - make_interval(secs => s.n * 0.01)
      FROM seed AS s
  ), identities AS (
    INSERT INTO node_identities (id, cluster_id, node_id, public_key, key_thumbprint)
    SELECT gen_random_uuid(), $1::uuid, s.id, s.public_key, s.thumbprint FROM seed AS s
  ), liveness AS (
    INSERT INTO node_liveness (cluster_id, node_id, last_seen_at, sequence) SELECT $1::uuid, s.id, now(), 1 FROM seed AS s
  ), health AS (
    INSERT INTO node_health_records (cluster_id, node_id, health, since)
    SELECT $1::uuid, s.id, 'online', now() FROM seed AS s
  )
  INSERT INTO node_role_assignments (id, cluster_id, node_id, role, assigned_by_type, assigned_by_id)
  SELECT gen_random_uuid(), $1::uuid, s.id, 'vpn-exit', 'system', 'bench' FROM seed AS s`;

const SEED_WITH_KEYS = `
  WITH seed AS (
    SELECT k.id, k.name, k.public_key, k.thumbprint, k.n
      FROM unnest($2::uuid[], $3::text[], $4::jsonb[], $5::text[])
           WITH ORDINALITY AS k (id, name, public_key, thumbprint, n)${SEED_REST}`;

const SEED_WITHOUT_KEYS = `
  WITH seed AS (
    SELECT gen_random_uuid() AS id, 'filler-' || k.n AS name, '{}'::jsonb AS public_key, 'filler-' || k.n AS thumbprint, k.n
      FROM generate_series($2::int, $3::int) AS k (n)${SEED_REST}`;
