import { requestBytes } from './http-connection.mjs';
import { inTurn, pollChanged, pollUnchanged } from './measure-node-calls.mjs';
import { median } from './statistics.mjs';

/** People and scripts at a time. */
const ADMINS = 4;
const PAGE = 50;
const FLAT_AT_MOST = 1.3;
/** Nodes that fetch a changed snapshot; the same number whatever the size of the cluster. */
const CHANGED = 500;

/** What a node list and polls cost at each size of the cluster, and how flat that is. */
export async function measureSizes(stage, fleet, sizes, tell) {
  const rows = [];
  const costs = [];
  for (const members of sizes.members) {
    tell(`  at ${members} nodes`);
    await fleet.fillTo(members);
    await fleet.authenticate(sizes.connections);
    rows.push(...(await listRows(stage, fleet, sizes, members)));
    if (sizes.members.length > 1) costs.push({ members, ...(await pollCosts(stage, fleet, sizes)) });
  }
  const [small, ...larger] = costs;
  for (const large of larger) rows.push(...flatnessRows(small, large));
  return rows;
}

async function listRows({ load, port, ownerToken: token, appUrl: url }, fleet, sizes, members) {
  const request = requestBytes({ path: `/api/v1${fleet.path}/nodes?limit=${PAGE}`, token });
  const { measured, limit } = await inTurn(
    sizes,
    (durationMs) =>
      load.do('repeat', { port, connections: ADMINS, requests: [request], expect: 200, durationMs }),
    (durationMs) =>
      load.do('newestMembers', {
        url,
        clusterId: fleet.clusterId,
        limit: PAGE,
        concurrency: ADMINS,
        poolSize: ADMINS,
        durationMs,
      }),
  );
  const at = `at ${members.toLocaleString('en-US')} nodes`;
  const row = (id, name, unit, of) => ({
    id: `${id}_${members}`,
    name,
    figure: measured[of],
    unit,
    limit: { name: 'bare keyset query by pg', figure: limit[of] },
    aim: null,
  });
  return [
    row('node_list', `Pages of ${PAGE} nodes ${at}`, '/s', 'perSecond'),
    row('node_list_p99', `Page of ${PAGE} nodes ${at}, p99`, 'ms', 'p99'),
  ];
}

/** Milliseconds of the service's time for one poll. */
async function pollCosts(stage, fleet, sizes) {
  const count = Math.min(CHANGED, fleet.nodes.length);
  await fleet.authenticate(count);
  const changed = [];
  for (let round = 0; round < sizes.rounds; round += 1)
    changed.push((await pollChanged(fleet, count)).perSecond);
  await pollUnchanged(stage, fleet, sizes, sizes.warmUpMs);
  const unchanged = [];
  for (let round = 0; round < sizes.rounds; round += 1) {
    unchanged.push((await pollUnchanged(stage, fleet, sizes, sizes.roundMs)).perSecond);
  }
  return { unchangedMs: 1000 / median(unchanged), changedMs: 1000 / median(changed) };
}

function flatnessRows(small, large) {
  const row = (id, name, of) => ({
    id: `${id}_${large.members}`,
    name: `${name} at ${large.members.toLocaleString('en-US')} nodes`,
    figure: large[of],
    unit: 'ms',
    limit: { name: `at ${small.members.toLocaleString('en-US')} nodes`, figure: small[of] },
    aim: { of: 'ratio', atMost: FLAT_AT_MOST },
  });
  return [
    row('unchanged_poll_cost', 'Cost of an unchanged poll', 'unchangedMs'),
    row('changed_poll_cost', 'Cost of a changed poll', 'changedMs'),
  ];
}
