import { generateKeyPairSync, randomBytes, sign as signBytes, verify as verifyBytes } from 'node:crypto';
import pg from 'pg';
import { latencies } from './statistics.mjs';

/** Between two looks at the clock. */
const SIGNATURES_A_LOOK = 32;

/** Raw Ed25519 signatures a second, one after the other. @param {{ durationMs: number, sizeBytes: number }} load */
export function sign({ durationMs, sizeBytes }) {
  const { privateKey } = generateKeyPairSync('ed25519');
  const data = randomBytes(sizeBytes);
  return rate(durationMs, () => signBytes(null, data, privateKey));
}

/** Raw Ed25519 verifications a second, one after the other. */
export function verify({ durationMs, sizeBytes }) {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const data = randomBytes(sizeBytes);
  const signature = signBytes(null, data, privateKey);
  return rate(durationMs, () => {
    if (!verifyBytes(null, data, publicKey, signature)) throw new Error('A good signature does not verify.');
  });
}

/**
 * Updates of single rows, each committed by itself, so many at a time.
 * @param {{ url: string, rows: number, poolSize: number, concurrency: number, durationMs: number }} load
 */
export function updates({ url, rows, concurrency, poolSize, durationMs }) {
  const statement = {
    name: 'bench-update',
    text: 'UPDATE bench.rows AS r SET counter = r.counter + 1, seen_at = now() WHERE r.id = $1',
  };
  const valuesOf = (at) => [at % rows];
  return queries({ url, concurrency, poolSize, durationMs, statement, valuesOf });
}

/** The rows that a first page of a node list is made of, by the bare keyset query. */
export function newestMembers({ url, clusterId, limit, concurrency, poolSize, durationMs }) {
  const statement = {
    name: 'bench-newest-members',
    text: `SELECT m.* FROM cluster_memberships AS m WHERE m.cluster_id = $1
            ORDER BY m.joined_at DESC, m.node_id DESC LIMIT $2`,
  };
  return queries({
    url,
    concurrency,
    poolSize,
    durationMs,
    statement,
    valuesOf: () => [clusterId, limit + 1],
  });
}

/** The assignments of a cluster by role, counted and not judged. */
export function countedRoles({ url, clusterId, concurrency, poolSize, durationMs }) {
  const statement = {
    name: 'bench-counted-roles',
    text: `SELECT r.role, count(*) FROM node_role_assignments AS r
            JOIN cluster_memberships AS m ON m.cluster_id = r.cluster_id AND m.node_id = r.node_id
           WHERE r.cluster_id = $1 AND r.status = 'active' GROUP BY r.role`,
  };
  return queries({ url, concurrency, poolSize, durationMs, statement, valuesOf: () => [clusterId] });
}

async function queries({ url, concurrency, poolSize, durationMs, statement, valuesOf }) {
  const pool = new pg.Pool({ connectionString: url, max: poolSize, application_name: 'fabric-bench' });
  try {
    await Promise.all(
      Array.from({ length: poolSize }, (_, at) => pool.query({ ...statement, values: valuesOf(at) })),
    );
    const times = [];
    const startedAt = performance.now();
    const deadline = startedAt + durationMs;
    await Promise.all(
      Array.from({ length: concurrency }, async (_, at) => {
        let now = performance.now();
        while (now < deadline) {
          await pool.query({ ...statement, values: valuesOf(at) });
          const then = performance.now();
          times.push(then - now);
          now = then;
        }
      }),
    );
    return { perSecond: times.length / ((performance.now() - startedAt) / 1000), ...latencies(times) };
  } finally {
    await pool.end();
  }
}

function rate(durationMs, work) {
  const startedAt = performance.now();
  const deadline = startedAt + durationMs;
  let count = 0;
  let now = startedAt;
  while (now < deadline) {
    for (let n = 0; n < SIGNATURES_A_LOOK; n += 1) work();
    count += SIGNATURES_A_LOOK;
    now = performance.now();
  }
  return { perSecond: count / ((now - startedAt) / 1000) };
}
