import { setTimeout as sleep } from 'node:timers/promises';
import { HttpConnection, headerOf, requestBytes } from './http-connection.mjs';
import { requireStatus } from './http-loads.mjs';

/** Between two changes of single nodes: they are to be told apart, not to share a wake-up. */
const BETWEEN_CHANGES_MS = 15;
/** How long all that is held may take to be answered. */
const PATIENCE_MS = 60_000;

let watchers = [];
let admin = null;
let onAnswer = () => {};

/**
 * Opens a connection for each node and holds a poll on it; a poll that is answered is sent anew.
 * @param {{ port: number, path: string, nodes: { nodeId: string, token?: string, etag: string }[] }} load
 */
export async function hold({ port, path, nodes }) {
  const connections = await HttpConnection.openMany(port, nodes.length);
  admin = await HttpConnection.open(port);
  watchers = nodes.map((node, at) => ({ ...node, path, connection: connections[at] }));
  for (const watcher of watchers) void watch(watcher);
}

/** Lets go of everything. */
export function release() {
  for (const { connection } of watchers) connection.close();
  watchers = [];
  admin?.close();
  admin = null;
}

/**
 * Makes changes that concern one node each.
 * @param {string[]} requests  for the watcher at the same index
 * @returns milliseconds from sending each until its node has the answer, those of the calls themselves, and how many
 * answers others got
 */
export async function changeOne({ requests, expect }) {
  const waits = [];
  const calls = [];
  let others = 0;
  for (const [at, request] of requests.entries()) {
    const watcher = watchers[at % watchers.length];
    const sentAt = performance.now();
    const seen = answered((who) => {
      if (who === watcher) return true;
      others += 1;
      return false;
    });
    const call = admin.send(request).then((answer) => {
      requireStatus(answer, expect);
      calls.push(performance.now() - sentAt);
    });
    await Promise.all([call, seen]);
    waits.push((await seen) - sentAt);
    await sleep(BETWEEN_CHANGES_MS);
  }
  onAnswer = () => {};
  return { waits, calls, others };
}

/** Makes one change that concerns every node. @returns milliseconds from sending it until each one has its answer */
export async function changeAll({ request, expect }) {
  const left = new Set(watchers);
  const waits = [];
  const sentAt = performance.now();
  const seen = answered((who, now) => {
    if (left.delete(who)) waits.push(now - sentAt);
    return left.size === 0;
  });
  const call = admin.send(request).then((answer) => {
    requireStatus(answer, expect);
    return performance.now() - sentAt;
  });
  const [callMs] = await Promise.all([call, seen]);
  onAnswer = () => {};
  return { waits, callMs };
}

function answered(isLast) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('A held poll was not answered.')), PATIENCE_MS);
    onAnswer = (who, now) => {
      if (!isLast(who, now)) return;
      clearTimeout(timer);
      resolve(now);
    };
  });
}

/** Ends when the connection does. */
async function watch(watcher) {
  const { connection, path, token } = watcher;
  try {
    for (;;) {
      const headers = { 'If-None-Match': watcher.etag };
      const answer = await connection.send(requestBytes({ path, token, headers }));
      if (answer.status === 304) continue;
      requireStatus(answer, 200);
      const before = watcher.etag;
      watcher.etag = headerOf(answer.head, 'etag');
      // One that was only issued again is no news.
      if (generationOf(before) !== generationOf(watcher.etag)) onAnswer(watcher, performance.now());
    }
  } catch (error) {
    if (watchers.includes(watcher)) throw error;
  }
}

/** Term and generation of an ETag `"<term>.<generation>.<issue>"`. */
function generationOf(etag) {
  return etag.slice(0, etag.lastIndexOf('.'));
}
