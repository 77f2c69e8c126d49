import { setTimeout as pause } from 'node:timers/promises';
import { HttpConnection, requestBytes } from './http-connection.mjs';
import { requireStatus } from './http-loads.mjs';
import { latencies } from './statistics.mjs';

const PREPARING = ['checking', 'downloading', 'verifying'];
const CHANGING = ['starting', 'health_checking', 'promoting'];

/**
 * Lets nodes be updated as their agents would, each on a connection of its own: it prepares, asks for a slot until it has
 * one, is out of service, and comes back. How many are out of service at a time is counted here, whatever the service
 * believes: from the answer that lets a node go until it says that it is back.
 * @param {{ port: number, nodes: { token: string, update: { assignmentId: string, epoch: number } }[], everyMs: number }} load
 */
export async function updatingNodes({ port, nodes, everyMs }) {
  const opened = await HttpConnection.openMany(port, nodes.length);
  const asks = [];
  const grants = [];
  let out = 0;
  let mostOut = 0;
  const startedAt = performance.now();
  try {
    await Promise.all(
      nodes.map(async (node, at) => {
        const connection = opened[at];
        let sequence = 0;
        const report = async (state) => {
          sequence += 1;
          return send(connection, node, state, sequence);
        };
        // Each has its own beat, evenly spread.
        await pause((at * everyMs) / nodes.length);
        for (const state of PREPARING) {
          await report(state);
          await pause(everyMs);
        }
        for (;;) {
          const sentAt = performance.now();
          const { phase } = await report('staging');
          const ms = performance.now() - sentAt;
          asks.push(ms);
          if (phase === 'granted') {
            grants.push(ms);
            break;
          }
          await pause(everyMs);
        }
        out += 1;
        mostOut = Math.max(mostOut, out);
        for (const state of CHANGING) {
          await pause(everyMs);
          await report(state);
        }
        await pause(everyMs);
        out -= 1;
        await report('running');
      }),
    );
  } finally {
    for (const connection of opened) connection.close();
  }
  const seconds = (performance.now() - startedAt) / 1000;
  return { seconds, mostOut, asks: latencies(asks), grants: latencies(grants) };
}

async function send(connection, { token, update }, state, sequence) {
  const body = JSON.stringify({ state, attempt: 1, epoch: update.epoch, sequence });
  const path = `/api/v1/node-agents/me/updates/${update.assignmentId}/state`;
  const answer = await connection.send(requestBytes({ method: 'POST', path, token, body }));
  requireStatus(answer, 200);
  return JSON.parse(answer.body.toString('utf8'));
}
