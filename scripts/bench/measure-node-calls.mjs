import { requestBytes } from './http-connection.mjs';
import { median } from './statistics.mjs';

/** As many as the service's own pool has. */
const POOL_SIZE = 20;
const BARE_ETAG = '"1.1.1"';
const UNCHANGED_AT_LEAST = 0.6;

/** Polls with the ETag that is current. */
export async function measureUnchangedPolls(stage, fleet, sizes) {
  const headers = { 'If-None-Match': BARE_ETAG, Authorization: `Bearer ${fleet.nodes[0].token}` };
  const bare = { port: stage.barePort, requests: [requestBytes({ path: '/snapshot', headers })] };
  const { measured, limit } = await inTurn(
    sizes,
    (durationMs) => pollUnchanged(stage, fleet, sizes, durationMs),
    (durationMs) =>
      stage.load.do('repeat', { ...bare, connections: sizes.connections, expect: 304, durationMs }),
  );
  const aim = { of: 'ratio', atLeast: UNCHANGED_AT_LEAST };
  return [
    {
      id: 'unchanged_polls',
      name: 'Unchanged polls (304)',
      figure: measured.perSecond,
      unit: '/s',
      limit: { name: 'bare Fastify 304', figure: limit.perSecond },
      aim,
    },
  ];
}

/** Unchanged polls of the nodes that have a token, for a time. */
export function pollUnchanged({ load, port }, fleet, { connections }, durationMs) {
  const requests = fleet.nodes.slice(0, connections).map((node) => node.poll(node.etag));
  return load.do('repeat', { port, connections, requests, expect: 304, durationMs });
}

/** Heartbeats of many nodes at once, each durable when it is answered. */
export async function measureHeartbeats(stage, fleet, sizes) {
  const { load, database, appUrl: url, port } = stage;
  const { beating } = sizes;
  await database.query(`
    CREATE SCHEMA bench
      CREATE TABLE rows (id int PRIMARY KEY, counter bigint NOT NULL, seen_at timestamptz NOT NULL) WITH (fillfactor = 70);
    INSERT INTO bench.rows SELECT n, 0, now() FROM generate_series(0, ${beating - 1}) AS n;
    GRANT USAGE ON SCHEMA bench TO fabric_app;
    GRANT SELECT, UPDATE ON bench.rows TO fabric_app;`);
  const nodes = fleet.nodes.slice(0, beating).map(({ token, instanceId }) => ({ token, instanceId }));
  const { measured, limit } = await inTurn(
    sizes,
    (durationMs) => load.do('heartbeats', { port, nodes, durationMs }),
    (durationMs) =>
      load.do('updates', { url, rows: beating, concurrency: beating, poolSize: POOL_SIZE, durationMs }),
  );
  await database.query('DROP SCHEMA bench CASCADE');
  const row = (id, name, unit, of) => ({
    id,
    name: `Heartbeats of ${beating} nodes at once${name}`,
    figure: measured[of],
    unit,
    limit: { name: 'single-row commits by pg', figure: limit[of] },
    aim: null,
  });
  return [
    row('heartbeats', '', '/s', 'perSecond'),
    row('heartbeats_p50', ', p50', 'ms', 'p50'),
    row('heartbeats_p99', ', p99', 'ms', 'p99'),
  ];
}

/** Polls after a change of every node's snapshot: each is rendered and signed. */
export async function measureChangedPolls(fleet, sizes, { signsPerSecond }) {
  const rates = [];
  for (let round = 0; round < sizes.rounds; round += 1) rates.push((await pollChanged(fleet)).perSecond);
  return [
    {
      id: 'changed_polls',
      name: 'Changed polls, rendered and signed',
      figure: median(rates),
      unit: '/s',
      limit: { name: 'Ed25519 sign', figure: signsPerSecond },
      aim: null,
    },
  ];
}

/** Changes every snapshot, then lets each node that has a token fetch its own. */
export async function pollChanged(fleet, count = fleet.nodes.length) {
  await fleet.changeAll();
  return fleet.fetchSnapshots(count);
}

/** Runs both in turn, so that what else the machine does is shared evenly; the medians count. */
export async function inTurn({ rounds, roundMs, warmUpMs }, measured, limit) {
  await measured(warmUpMs);
  await limit(warmUpMs);
  const results = { measured: [], limit: [] };
  for (let round = 0; round < rounds; round += 1) {
    results.limit.push(await limit(roundMs));
    results.measured.push(await measured(roundMs));
  }
  return { measured: medians(results.measured), limit: medians(results.limit) };
}

function medians(results) {
  return Object.fromEntries(
    Object.keys(results[0]).map((name) => [name, median(results.map((result) => result[name]))]),
  );
}
