import { Stage } from './demo-stage.mjs';
import { DemoWorkload } from './demo-workload.mjs';
import { Failure, report } from './run.mjs';
import { setUp } from './service.mjs';

const NAMES = ['edge-1', 'edge-2', 'edge-3'];

let scene = 0;
const title = (text) => console.log(`\n${++scene}. ${text}`);
const tell = (text) => console.log(`   ${text}`);

/** Plays the whole story with real processes; the exit code says whether all went as it should. */
export async function demo() {
  try {
    await setUp();
    const stage = new Stage();
    const stop = () => void stage.close().then(() => process.exit(130));
    process.once('SIGINT', stop);
    try {
      await play(stage);
    } finally {
      process.off('SIGINT', stop);
      await stage.close();
    }
    console.log('\nEverything was as it should be. Nothing is left behind.');
  } catch (error) {
    report(error);
  }
}

async function play(stage) {
  title('The service starts, on an embedded Postgres in a throw-away directory.');
  await stage.startService();
  tell(`It listens on ${stage.url}.`);

  title('A cluster is made, whose nodes report every second.');
  const cluster = await stage.call('POST', '/clusters', { name: 'Demo cluster', region: 'local' });
  const at = `/clusters/${cluster.slug}`;
  await stage.call('PUT', `${at}/policy`, { heartbeatSeconds: 1 });
  tell(`${cluster.name}, id ${cluster.id}.`);

  title('A join token admits three nodes, for ten minutes.');
  const token = await stage.call('POST', `${at}/join-tokens`, {
    description: 'Demo',
    maxUses: 3,
    expiresInSeconds: 600,
  });
  tell(`${token.token.slice(0, 12)}… (${token.maxUses} uses)`);

  title('Three agents make their keys and ask to be admitted.');
  const nodes = await admit(stage, at, token.token);

  title('The agents run: they get tokens, report, and watch their snapshots.');
  const agents = new Map(NAMES.map((name) => [name, stage.agent(name, 'run')]));
  await seeHealth(stage, at, 'online', NAMES);
  tell('All three are online.');

  title('Roles are assigned.');
  await assign(stage, at, nodes, agents, 'edge-1', 'vpn-exit');
  await assign(stage, at, nodes, agents, 'edge-2', 'vpn-exit');
  const relay = await assign(stage, at, nodes, agents, 'edge-3', 'relay-node');

  title('Each node sees its own snapshot, and no more.');
  for (const name of NAMES) await show(stage, at, name, nodes.get(name));

  title('A workload is wanted on edge-2: the echo service that the agent brings along.');
  const echo = new DemoWorkload(stage, `${at}/nodes/${nodes.get('edge-2')}`, agents.get('edge-2'));
  const first = await echo.start('Hello');
  tell(`Process ${first.pid} serves at ${first.url} and answers: ${first.echoed}`);

  title('Its process is killed with -9, and comes back.');
  const second = await echo.kill('Hello again');
  tell(`Process ${second.pid} serves at ${second.url} and answers: ${second.echoed}`);
  tell(`The control plane has seen it: ${(await echo.history()).join(', ')}.`);

  title('A role is disabled, and its agent notices.');
  await stage.call('POST', `${at}/role-assignments/${relay.id}/disable`);
  const lost = await agents
    .get('edge-3')
    .event('roles.changed', (event) => event.removed.includes('relay-node'));
  tell(`edge-3 says: ${lost.removed.join(', ')} is gone.`);

  title('A node is revoked, and its agent is refused.');
  await stage.call('POST', `${at}/nodes/${nodes.get('edge-2')}/revoke`, { reason: 'The host was stolen.' });
  await agents.get('edge-2').event('refused');
  const code = await agents.get('edge-2').ended;
  if (code !== 4) throw new Failure(`edge-2 ended with ${code} and not with 4.`);
  echo.assertGone();
  tell('edge-2 stopped its workload and ended.');

  title('The others go on.');
  await seeHealth(stage, at, 'online', ['edge-1', 'edge-3']);
  const summary = await stage.call('GET', `${at}/summary`);
  tell(`Summary: ${JSON.stringify(summary.nodes)}`);

  title('The audit log tells it all.');
  await trail(stage, cluster.id);

  title('Everything stops.');
  for (const name of ['edge-1', 'edge-3']) {
    const ended = await agents.get(name).stop();
    if (ended !== 0) throw new Failure(`${name} ended with ${ended}.`);
  }
  const ended = await stage.service.stop();
  if (ended !== 0) throw new Failure(`The service ended with ${ended}.`);
}

async function admit(stage, at, token) {
  const enrolling = new Map(
    NAMES.map((name) => {
      const capability = name === 'edge-3' ? 'can_route_mesh' : 'can_run_vpn_exit';
      const facts = ['--fact', `machineId=demo-${name}`];
      const order = [
        '--url',
        stage.url,
        '--token',
        token,
        '--name',
        name,
        '--no-discover',
        '--capability',
        capability,
        ...facts,
      ];
      return [name, stage.agent(name, 'enroll', ...order)];
    }),
  );
  const requests = await stage.see('three join requests have come in', async () => {
    const { items } = await stage.call('GET', `${at}/join-requests?status=pending`);
    return items.length === NAMES.length ? items : null;
  });
  const nodes = new Map();
  for (const request of requests.sort((left, right) => (left.nodeName < right.nodeName ? -1 : 1))) {
    const digest = { requestDigest: request.requestDigest };
    const approved = await stage.call('POST', `${at}/join-requests/${request.id}/approve`, digest);
    nodes.set(request.nodeName, approved.approvedNodeId);
    tell(`${request.nodeName} (${request.reportedCapabilities.join(', ')}) was reviewed and approved.`);
  }
  for (const [name, agent] of enrolling) {
    const code = await agent.ended;
    if (code !== 0) throw new Failure(`${name} could not enroll:\n${agent.tail()}`);
  }
  return nodes;
}

async function assign(stage, at, nodes, agents, name, role) {
  const assignment = await stage.call('POST', `${at}/role-assignments`, { nodeId: nodes.get(name), role });
  const event = await agents.get(name).event('roles.changed', ({ added }) => added.includes(role));
  tell(`${name} says: ${event.added.join(', ')} is mine.`);
  return assignment;
}

async function show(stage, at, name, nodeId) {
  const { generation, authorityTerm, roles, expiresAt, ...rest } = await stage.call(
    'GET',
    `${at}/nodes/${nodeId}/snapshot`,
  );
  const sections = ['services', 'ingress', 'storage'].filter((section) => section in rest);
  const held = roles.map(({ role }) => role).join(', ');
  tell(
    `${name}: generation ${generation}, term ${authorityTerm}, roles [${held}], sections [${sections.join(', ')}], until ${expiresAt}`,
  );
}

function seeHealth(stage, at, health, names) {
  return stage.see(`${names.join(', ')} are ${health}`, async () => {
    const { items } = await stage.call('GET', `${at}/nodes?health=${health}`);
    return names.every((name) => items.some((node) => node.name === name));
  });
}

async function trail(stage, clusterId) {
  const { items } = await stage.call('GET', `/audit/events?clusterId=${clusterId}&limit=200`);
  for (const event of items.reverse()) {
    const { occurredAt, actor, action, resource, highRisk, reason } = event;
    const what = resource.name ?? resource.id ?? '';
    const notes = [highRisk ? 'high risk' : null, reason].filter(Boolean).join(': ');
    tell(
      `${occurredAt}  ${actor.displayName.padEnd(18)} ${action.padEnd(28)} ${what}${notes === '' ? '' : `  (${notes})`}`,
    );
  }
  for (const action of [
    'cluster.created',
    'join_token.created',
    'join_request.approved',
    'workload.created',
    'role_assignment.disabled',
    'node.revoked',
  ]) {
    if (!items.some((event) => event.action === action)) throw new Failure(`The audit log has no ${action}.`);
  }
}
