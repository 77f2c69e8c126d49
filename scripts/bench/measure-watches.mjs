import { requestBytes } from './http-connection.mjs';
import { latencies, median } from './statistics.mjs';

/** Longer than the part takes, so that what is answered was changed. */
const PATH = '/api/v1/node-agents/me/snapshot?waitSeconds=55';
const BARE_PATH = '/held';
const ONE_AT_MOST_MS = 50;
const ALL_AT_MOST = 1.3;
const WATCH_AT_MOST_KB = 24;

/** Memory of held polls, and how long a change takes to those whom it concerns, at each number of them. */
export async function measureWatches(stage, fleet, sizes, { signsPerSecond }, tell) {
  const rows = [];
  for (const count of sizes.watches) {
    tell(`  ${count} of them`);
    await fleet.growTo(count);
    await fleet.authenticate(count);
    const bare = await holdBare(stage, count, sizes, {
      token: fleet.nodes[0].token,
      sizeBytes: await snapshotBytes(stage, fleet),
    });
    const held = await holdService(stage, fleet, count, sizes);
    rows.push(...rowsOf(count, held, bare, signsPerSecond));
  }
  return rows;
}

function rowsOf(count, held, bare, signsPerSecond) {
  const at = `${count.toLocaleString('en-US')} held`;
  const one = latencies(held.one.waits);
  const call = latencies(held.one.calls);
  const signingMs = (count * 1000) / signsPerSecond;
  const ofOne = (id, of, aim) => ({
    id: `${id}_${count}`,
    name: `Change of one node, ${of}, ${at}`,
    figure: one[of],
    unit: 'ms',
    limit: { name: 'the call that changes it', figure: call[of] },
    aim,
  });
  const ofAll = (id, of, aim) => ({
    id: `${id}_${count}`,
    name: `Change of every node, ${of}, ${at}`,
    figure: held.all[of],
    unit: 'ms',
    limit: { name: 'bare long poll + signing', figure: bare.all[of] + signingMs },
    aim,
  });
  return [
    {
      id: `watch_memory_${count}`,
      name: `Memory of a watch, ${at}`,
      figure: held.memoryKb,
      unit: 'kB',
      limit: bare.memoryKb === null ? null : { name: 'held by bare Fastify', figure: bare.memoryKb },
      aim: { of: 'figure', atMost: WATCH_AT_MOST_KB },
    },
    ofOne('change_one_p50', 'p50', null),
    ofOne('change_one_p99', 'p99', { of: 'figure', atMost: ONE_AT_MOST_MS }),
    {
      id: `change_one_others_${count}`,
      name: `Others answered by a change of one, ${at}`,
      figure: held.one.others,
      unit: 'nodes',
      limit: null,
      aim: { of: 'figure', atMost: 0 },
    },
    ofAll('change_all_p50', 'p50', null),
    ofAll('change_all_p99', 'p99', { of: 'ratio', atMost: ALL_AT_MOST }),
    {
      id: `change_all_call_${count}`,
      name: `The call that changes every node, ${at}`,
      figure: held.all.callMs,
      unit: 'ms',
      limit: null,
      aim: null,
    },
  ];
}

async function holdService(stage, fleet, count, sizes) {
  const { load, port, ownerToken: token } = stage;
  // Anew, so that memory is not what earlier parts have left; with all caches filled before the first look.
  await stage.startService();
  await fleet.fetchSnapshots(count);
  const nodes = fleet.nodes.slice(0, count).map(({ nodeId, token, etag }) => ({ nodeId, token, etag }));
  const memoryKb = await memoryOfWatches(stage, stage.service, count, async () => {
    await load.do('hold', { port, path: PATH, nodes });
    await stage.holds(count);
  });
  const one = await load.do('changeOne', {
    requests: singleChanges(fleet, nodes, sizes, token),
    expect: 200,
  });
  await stage.holds(count);
  const wide = [];
  for (let n = 0; n < sizes.wideChanges; n += 1) {
    const body = JSON.stringify(fleet.nextPolicy());
    const request = requestBytes({ method: 'PUT', path: `/api/v1${fleet.path}/policy`, token, body });
    wide.push(await load.do('changeAll', { request, expect: 200 }));
    await stage.holds(count);
  }
  await load.do('release');
  await stage.holds(0);
  await fleet.fetchSnapshots(count);
  return { memoryKb, one, all: { ...wideLatencies(wide), callMs: median(wide.map(({ callMs }) => callMs)) } };
}

/** The requests carry what those of the service do, and the answers have the same headers and size. */
async function holdBare(stage, count, { wideChanges }, { token, sizeBytes }) {
  const { load } = stage;
  await stage.startBareFastify();
  const nodes = Array.from({ length: count }, () => ({ nodeId: '', token, etag: '"1.1.1"' }));
  const memoryKb = await memoryOfWatches(stage, stage.bare, count, async () => {
    await load.do('hold', { port: stage.barePort, path: BARE_PATH, nodes });
    await stage.bareHolds(count);
  });
  const wide = [];
  const request = requestBytes({ method: 'POST', path: '/release', body: JSON.stringify({ sizeBytes }) });
  for (let n = 0; n < wideChanges; n += 1) {
    wide.push(await load.do('changeAll', { request, expect: 200 }));
    await stage.bareHolds(count);
  }
  await load.do('release');
  return { memoryKb, all: wideLatencies(wide) };
}

async function memoryOfWatches(stage, actor, count, hold) {
  const before = await stage.memoryOf(actor);
  await hold();
  const after = await stage.memoryOf(actor);
  return before === null ? null : (after - before) / count / 1024;
}

/** Switching telemetry is a change of content, and of nothing else. */
function singleChanges(fleet, nodes, { singleChanges: count }, token) {
  return Array.from({ length: count }, (_, at) => {
    const node = fleet.nodes[at % nodes.length];
    const { nodeId } = node;
    // The other way each time: the same nodes are changed again while more of them wait.
    node.hasTelemetry = node.hasTelemetry !== true;
    const body = JSON.stringify({ telemetryEnabled: node.hasTelemetry });
    return requestBytes({ method: 'PATCH', path: `/api/v1${fleet.path}/nodes/${nodeId}`, token, body });
  });
}

function wideLatencies(wide) {
  const each = wide.map(({ waits }) => latencies(waits));
  return { p50: median(each.map(({ p50 }) => p50)), p99: median(each.map(({ p99 }) => p99)) };
}

async function snapshotBytes({ load, port }, fleet) {
  const requests = [fleet.nodes[0].poll()];
  const { answers } = await load.do('list', { port, connections: 1, requests, expect: 200, keep: 'body' });
  return answers[0].jws.length;
}
