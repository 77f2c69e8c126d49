import { parentPort } from 'node:worker_threads';
import { heartbeats, list, repeat } from './http-loads.mjs';
import { acquisitions, etcdPuts, refusals, renewals, steadyRenewals } from './lease-loads.mjs';
import { countedRoles, newestMembers, sign, updates, verify } from './limits.mjs';
import { updatingNodes } from './rollout-loads.mjs';
import { changeAll, changeOne, hold, release } from './watches.mjs';

const JOBS = {
  heartbeats,
  list,
  acquisitions,
  etcdPuts,
  refusals,
  renewals,
  steadyRenewals,
  repeat,
  countedRoles,
  newestMembers,
  sign,
  updates,
  updatingNodes,
  verify,
  changeAll,
  changeOne,
  hold,
  release,
};

parentPort.on('message', async ({ job, input }) => {
  try {
    parentPort.postMessage({ result: await JOBS[job](input) });
  } catch (error) {
    parentPort.postMessage({ failure: `${job}: ${error.stack ?? error}` });
  }
});
