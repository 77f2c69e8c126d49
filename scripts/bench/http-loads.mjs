import { HttpConnection, headerOf, requestBytes } from './http-connection.mjs';
import { latencies } from './statistics.mjs';

/** First sequence of the heartbeats: further ones have as many digits, so that a request is made by writing over. */
const FIRST_SEQUENCE = 1_000_000_000;
let sequence = FIRST_SEQUENCE;

/**
 * Sends the same requests again and again for a time, each connection the next one as soon as it has its answer.
 * @returns {Promise<{ perSecond: number, p50: number, p99: number }>} latencies in milliseconds
 */
export function repeat({ port, connections, requests, expect, durationMs }) {
  const bytes = requests.map((request) => Buffer.from(request, 'latin1'));
  return drive({ port, connections, durationMs, expect }, (at) => bytes[at % bytes.length]);
}

/**
 * Sends heartbeats for a time, each node on a connection of its own, with a sequence that grows.
 * @param {{ port: number, nodes: { token: string, instanceId: string }[], durationMs: number }} load
 */
export function heartbeats({ port, nodes, durationMs }) {
  const templates = nodes.map(({ token, instanceId }) => {
    const body = JSON.stringify({
      agentVersion: '0.1.0',
      sequence: FIRST_SEQUENCE,
      agentInstanceId: instanceId,
      uptimeSeconds: 86_400,
      load: { one: 0.5, five: 0.4, fifteen: 0.3 },
      memory: { totalBytes: 8_589_934_592, usedBytes: 2_147_483_648 },
      appliedGeneration: 1,
    });
    const path = '/api/v1/node-agents/me/heartbeat';
    const request = Buffer.from(requestBytes({ method: 'POST', path, token, body }), 'latin1');
    return { request, at: request.lastIndexOf(String(FIRST_SEQUENCE)) };
  });
  return drive({ port, connections: nodes.length, durationMs, expect: 200 }, (connection) => {
    const { request, at } = templates[connection];
    sequence += 1;
    request.write(String(sequence), at, 'latin1');
    return request;
  });
}

/**
 * Sends each request once, over some connections, in the order given.
 * @returns {Promise<{ perSecond: number, p50: number, p99: number, answers: unknown[] }>} of each answer, by `keep`,
 * its `etag` or its parsed `body`
 */
export async function list({ port, connections, requests, expect, keep }) {
  const opened = await HttpConnection.openMany(port, Math.min(connections, requests.length));
  const answers = new Array(requests.length).fill(null);
  const times = [];
  let next = 0;
  const startedAt = performance.now();
  try {
    await Promise.all(
      opened.map(async (connection) => {
        while (next < requests.length) {
          const at = next++;
          const sentAt = performance.now();
          const answer = await connection.send(requests[at]);
          times.push(performance.now() - sentAt);
          requireStatus(answer, expect);
          if (keep === 'etag') answers[at] = headerOf(answer.head, 'etag');
          else if (keep === 'body') answers[at] = JSON.parse(answer.body.toString('utf8'));
        }
      }),
    );
  } finally {
    for (const connection of opened) connection.close();
  }
  const seconds = (performance.now() - startedAt) / 1000;
  return { perSecond: requests.length / seconds, ...latencies(times), answers };
}

/** @throws when the service answered otherwise than the measurement assumes */
export function requireStatus({ status, body }, expected) {
  if (status !== expected)
    throw new Error(`Answered ${status}, not ${expected}: ${body?.toString('utf8') ?? ''}`);
}

async function drive({ port, connections, durationMs, expect }, requestOf) {
  const opened = await HttpConnection.openMany(port, connections);
  const times = [];
  const startedAt = performance.now();
  const deadline = startedAt + durationMs;
  try {
    await Promise.all(
      opened.map(async (connection, at) => {
        let now = performance.now();
        while (now < deadline) {
          const answer = await connection.send(requestOf(at));
          if (answer.status !== expect) requireStatus(answer, expect);
          const then = performance.now();
          times.push(then - now);
          now = then;
        }
      }),
    );
  } finally {
    for (const connection of opened) connection.close();
  }
  const seconds = (performance.now() - startedAt) / 1000;
  return { perSecond: times.length / seconds, ...latencies(times) };
}
