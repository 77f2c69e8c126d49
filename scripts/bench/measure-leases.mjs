import { cpuSecondsOf, cpuSecondsOfFamily, familyUsed, parentOf } from './cpu-time.mjs';
import { Etcd, hasEtcd } from './etcd.mjs';
import { acquireAndRelease, renewal } from './lease-sql.mjs';
import { LeaseStock } from './lease-stock.mjs';
import { inTurn } from './measure-node-calls.mjs';
import { findPgbench, pgbench } from './pgbench.mjs';

/** As many as the service's own pool has. */
const CLIENTS = 20;
const RENEW_AT_LEAST = 0.5;
const ACQUIRE_AT_LEAST = 0.25;
/** Connections of the steady load; each carries one renewal at a time. */
const STEADY_CONNECTIONS = 64;
/** A third of a TTL of 30 s. */
const STEADY_EVERY_MS = 10_000;
/** What else the service writes meanwhile counts too: its jobs, the clock. One row would be more. */
const WAL_BYTES_AT_MOST = 64;
/** After so long what a session has counted is seen by others. */
const COUNTED_MS = 1_500;

/**
 * Leases, beside the same statements by pgbench on the same Postgres, and beside etcd, where this machine has them.
 * @param {import('./bench-stage.mjs').BenchStage} stage
 * @returns {Promise<import('./report.mjs').Row[]>}
 */
export async function measureLeases(stage, fleet, sizes, tell) {
  await fleet.authenticate(fleet.nodes.length);
  const stock = new LeaseStock(stage, fleet);
  await stock.prepare();
  const program = findPgbench();
  if (program === null) tell('pgbench is not on this machine: leases stand without their limit.');
  const byPgbench = (script) => async (durationMs) =>
    program === null
      ? { perSecond: 0, p50: 0, p99: 0 }
      : pgbench({ program, url: stage.appUrl, script, clients: CLIENTS, durationMs });
  /** @returns the rate and the latency of a load, beside those of pgbench */
  const rows = (id, name, { measured, limit }, beside, atLeast) => {
    const besides = (of) => (program === null ? null : { name: beside, figure: limit[of] });
    return [
      row(id, name, measured.perSecond, '/s', besides('perSecond'), { of: 'ratio', atLeast }),
      row(`${id}_p99`, `${name}, p99`, measured.p99, 'ms', besides('p99')),
    ];
  };

  const racing = sizes.leases;
  const renewing = await stock.held(racing);
  const renewals = await inTurn(
    sizes,
    (durationMs) => load(stage, 'renewals', renewing, durationMs),
    byPgbench(renewal(await stock.held(racing))),
  );
  const perCommit = await renewalsACommit(stage, renewing, sizes);
  const acquiring = await stock.free(CLIENTS);
  const acquisitions = await inTurn(
    sizes,
    (durationMs) => load(stage, 'acquisitions', acquiring, durationMs),
    byPgbench(acquireAndRelease(await stock.free(CLIENTS), fleet.clusterId)),
  );
  const refused = await refuse(stage, await stock.contended(racing), sizes);
  tell(`${sizes.steadyLeases} leases, each renewed every ten seconds.`);
  const steady = await holdSteadily(stage, await stock.heldShortly(sizes.steadyLeases), sizes);
  await stock.giveBack();
  return [
    ...rows(
      'lease_renewals',
      `Renewals of ${racing} leases at once`,
      renewals,
      'pgbench, one a transaction',
      RENEW_AT_LEAST,
    ),
    row('lease_renewals_a_commit', 'Renewals that share a commit', perCommit, '', null),
    ...rows(
      'lease_acquisitions',
      `Acquire and release of ${CLIENTS} connections at once`,
      acquisitions,
      'pgbench, one a transaction',
      ACQUIRE_AT_LEAST,
    ),
    row('lease_refusals', `Acquires of ${racing} held connections, refused`, refused.perSecond, '/s', null),
    row('lease_refusal_wal', 'WAL written for a refusal', refused.walBytes, 'B', null, {
      of: 'figure',
      atMost: WAL_BYTES_AT_MOST,
    }),
    row('lease_steady', `${sizes.steadyLeases} leases renewed every 10 s`, steady.perSecond, '/s', null),
    row('lease_steady_p99', 'Of them, from due to durable, p99', steady.p99, 'ms', null),
    row('lease_steady_cpu_service', 'Of them, processors of the service', steady.service, '', null),
    row('lease_steady_cpu_database', 'Of them, processors of Postgres', steady.database, '', null),
    row('lease_steady_wal', 'Of them, WAL written for a renewal', steady.walBytes, 'B', null),
    await besideEtcd(stage, sizes, acquisitions.measured.perSecond, tell),
  ];
}

function row(id, name, figure, unit, limit, aim = null) {
  return { id, name, figure, unit, limit, aim };
}

function load({ load: worker, port }, job, { leases }, durationMs) {
  return worker.do(job, { port, leases, durationMs });
}

/** How many renewals one commit makes durable. */
async function renewalsACommit(stage, stock, { roundMs }) {
  const commits = async () => {
    await new Promise((resolve) => setTimeout(resolve, COUNTED_MS));
    return number(
      stage,
      'SELECT d.xact_commit AS n FROM pg_stat_database AS d WHERE d.datname = current_database()',
    );
  };
  const before = await commits();
  const { perSecond, seconds } = await load(stage, 'renewals', stock, roundMs);
  return (perSecond * seconds) / ((await commits()) - before);
}

async function refuse(stage, stock, { warmUpMs, roundMs }) {
  await load(stage, 'refusals', stock, warmUpMs);
  const before = await walBytes(stage);
  const { perSecond, seconds } = await load(stage, 'refusals', stock, roundMs);
  return { perSecond, walBytes: ((await walBytes(stage)) - before) / (perSecond * seconds) };
}

/** Many leases as an installation has them: what that costs, in processors. */
async function holdSteadily(stage, { leases }, { steadyMs }) {
  const { load: worker, port, service, database } = stage;
  const { rows } = await database.query('SELECT pg_backend_pid() AS pid');
  const postmaster = parentOf(rows[0].pid);
  const used = async () => ({
    service: cpuSecondsOf(service.process.pid),
    database: postmaster === null ? null : cpuSecondsOfFamily(postmaster),
    wal: await walBytes(stage),
  });
  const before = await used();
  const steady = await worker.do('steadyRenewals', {
    port,
    leases,
    connections: Math.min(STEADY_CONNECTIONS, leases.length),
    everyMs: STEADY_EVERY_MS,
    durationMs: steadyMs,
  });
  const after = await used();
  const { seconds } = steady;
  return {
    ...steady,
    service: before.service === null ? null : (after.service - before.service) / seconds,
    database: before.database === null ? null : familyUsed(before.database, after.database) / seconds,
    walBytes: (after.wal - before.wal) / (steady.perSecond * steady.seconds),
  };
}

/** An acquire is what a fenced transaction of etcd is; its JSON gateway is in the way as HTTP is in ours. */
async function besideEtcd(stage, { roundMs, warmUpMs }, acquisitions, tell) {
  const name = 'Acquire and release, beside a fenced transaction of etcd';
  if (!hasEtcd()) {
    tell('etcd is not on this machine: nothing is compared with it.');
    return row('lease_etcd', name, null, '/s', null);
  }
  const etcd = new Etcd();
  try {
    await etcd.start();
    const puts = async (round, durationMs) => {
      const keys = Array.from({ length: CLIENTS }, (_, at) => `${round}/${at}`);
      return stage.load.do('etcdPuts', { port: etcd.port, keys, durationMs });
    };
    await puts('warm-up', warmUpMs);
    const { perSecond } = await puts('measured', roundMs);
    return row('lease_etcd', name, acquisitions, '/s', {
      name: 'etcd: compare revision, put',
      figure: perSecond,
    });
  } finally {
    await etcd.stop();
  }
}

function walBytes(stage) {
  return number(stage, `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') AS n`);
}

async function number({ database }, query) {
  const { rows } = await database.query(query);
  return Number(rows[0].n);
}
