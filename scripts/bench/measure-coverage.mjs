import { requestBytes } from './http-connection.mjs';
import { inTurn } from './measure-node-calls.mjs';

/** A console asks for it now and then, one person at a time. */
const ADMINS = 1;
const AT_MOST_MS = 500;

/** What it costs to count how the roles of a large cluster are filled, each node's health judged at that instant. */
export async function measureCoverage(stage, fleet, sizes) {
  const { load, port, ownerToken: token, appUrl: url } = stage;
  await fleet.fillTo(sizes.covered);
  const { measured, limit } = await inTurn(
    sizes,
    (durationMs) => {
      const requests = [requestBytes({ path: `/api/v1${fleet.path}/role-coverage`, token })];
      return load.do('repeat', { port, connections: ADMINS, requests, expect: 200, durationMs });
    },
    (durationMs) =>
      load.do('countedRoles', {
        url,
        clusterId: fleet.clusterId,
        concurrency: ADMINS,
        poolSize: ADMINS,
        durationMs,
      }),
  );
  return [
    {
      id: `role_coverage_${sizes.covered}`,
      name: `Role coverage of ${sizes.covered.toLocaleString('en-US')} nodes, p50`,
      figure: measured.p50,
      unit: 'ms',
      limit: { name: 'bare count of assignments by pg', figure: limit.p50 },
      aim: { of: 'figure', atMost: AT_MOST_MS },
    },
  ];
}
