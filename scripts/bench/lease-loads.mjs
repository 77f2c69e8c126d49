import { HttpConnection, requestBytes } from './http-connection.mjs';
import { requireStatus } from './http-loads.mjs';
import { latencies } from './statistics.mjs';

const request = (act, { token, connectionId }, body) => {
  const path = `/api/v1/node-agents/me/vpn-connections/${connectionId}/lease/${act}`;
  return Buffer.from(requestBytes({ method: 'POST', path, token, body: JSON.stringify(body) }), 'latin1');
};

/**
 * Renews each lease on a connection of its own, again as soon as it is answered.
 * @param {{ port: number, leases: import('./lease-stock.mjs').StockedLease[], durationMs: number }} load
 */
export function renewals({ port, leases, durationMs }) {
  return closedLoop(port, leases, durationMs, (lease) => {
    const renew = request('renew', lease, { fencingToken: lease.fencingToken });
    return async (connection, note) => {
      const sentAt = performance.now();
      requireStatus(await connection.send(renew), 200);
      note(performance.now() - sentAt);
    };
  });
}

/** Acquires and releases each connection in turn, again as soon as it is answered. A round of both counts as one. */
export function acquisitions({ port, leases, durationMs }) {
  return closedLoop(port, leases, durationMs, (lease) => {
    const acquire = request('acquire', lease, {});
    return async (connection, note) => {
      const sentAt = performance.now();
      const answer = await connection.send(acquire);
      requireStatus(answer, 201);
      const { fencingToken } = JSON.parse(answer.body.toString('utf8'));
      requireStatus(await connection.send(request('release', lease, { fencingToken })), 200);
      note(performance.now() - sentAt);
    };
  });
}

/** Asks for connections that another node holds, which is refused each time. */
export function refusals({ port, leases, durationMs }) {
  return closedLoop(port, leases, durationMs, (lease) => {
    const acquire = request('acquire', lease, {});
    return async (connection, note) => {
      const sentAt = performance.now();
      requireStatus(await connection.send(acquire), 409);
      note(performance.now() - sentAt);
    };
  });
}

/**
 * Renews every lease once in `everyMs`, evenly spread, whatever that takes: latencies count from the moment at which a
 * renewal was due, so that one that had to wait for its turn does not look fast.
 */
export async function steadyRenewals({ port, leases, connections, everyMs, durationMs }) {
  const requests = leases.map((lease) => request('renew', lease, { fencingToken: lease.fencingToken }));
  const opened = await HttpConnection.openMany(port, connections);
  const gapMs = everyMs / leases.length;
  const count = Math.floor(durationMs / gapMs);
  const times = [];
  let next = 0;
  const startedAt = performance.now();
  try {
    await Promise.all(
      opened.map(async (connection) => {
        while (next < count) {
          const at = next++;
          const dueAt = startedAt + at * gapMs;
          const waitMs = dueAt - performance.now();
          if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
          requireStatus(await connection.send(requests[at % requests.length]), 200);
          times.push(performance.now() - dueAt);
        }
      }),
    );
  } finally {
    for (const connection of opened) connection.close();
  }
  const seconds = (performance.now() - startedAt) / 1000;
  return { perSecond: times.length / seconds, seconds, ...latencies(times) };
}

/** Puts to keys of etcd, each of its own connection and only while nobody else has written it: its fenced transaction. */
export async function etcdPuts({ port, keys, durationMs }) {
  const base64 = (text) => Buffer.from(text).toString('base64');
  return closedLoop(port, keys, durationMs, (name) => {
    const key = base64(name);
    const value = base64('x'.repeat(64));
    let revision = null;
    return async (connection, note) => {
      const compare =
        revision === null ? [] : [{ key, target: 'MOD', result: 'EQUAL', modRevision: revision }];
      const body = JSON.stringify({ compare, success: [{ requestPut: { key, value } }] });
      const sentAt = performance.now();
      const answer = await connection.send(requestBytes({ method: 'POST', path: '/v3/kv/txn', body }));
      note(performance.now() - sentAt);
      requireStatus(answer, 200);
      const { succeeded, header } = JSON.parse(answer.body.toString('utf8'));
      if (succeeded !== true) throw new Error('Somebody else has written the key.');
      revision = header.revision;
    };
  });
}

async function closedLoop(port, items, durationMs, rounds) {
  const opened = await HttpConnection.openMany(port, items.length);
  const times = [];
  const note = (ms) => times.push(ms);
  const startedAt = performance.now();
  try {
    await Promise.all(
      opened.map(async (connection, at) => {
        const round = rounds(items[at]);
        while (performance.now() - startedAt < durationMs) await round(connection, note);
      }),
    );
  } finally {
    for (const connection of opened) connection.close();
  }
  const seconds = (performance.now() - startedAt) / 1000;
  return { perSecond: times.length / seconds, seconds, ...latencies(times) };
}
