import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created } from '../support/given.js';
import { admittedNode, type TestNode } from '../support/test-node.js';
import { until } from '../support/until.js';

const PATH = '/node-agents/me/snapshot';
const PER_MINUTE = 12;

describe('polls of nodes that are known', () => {
  let plane: ControlPlane;
  beforeAll(async () => {
    const limits = { unknownCredentialsPerMinute: 60, principalPerMinute: 600, nodePerMinute: PER_MINUTE };
    plane = await startControlPlane({ config: { limits } });
  });
  afterAll(() => plane?.close());

  /** A node that has its snapshot, with its token and state in the memory of the service. */
  async function watching(): Promise<{ node: TestNode; token: string; etag: string }> {
    const node = await admittedNode(plane);
    const { access_token: token } = created(await node.requestToken()) as { access_token: string };
    const { headers } = await plane.api.as(token).get(PATH);
    return { node, token, etag: headers.get('etag') ?? '' };
  }

  const poll = (token: string, etag: string, more: Record<string, string> = {}, path = PATH) =>
    plane.api.as(token).get(path, undefined, { 'if-none-match': etag, ...more });

  it.each<[string, number, string | null, string]>([
    ['that are unchanged', 304, null, ''],
    ['that are changed', 200, '"1.0.0"', ''],
    ['that are changed, and would wait', 200, '"1.0.0", "1.0.1"', '?waitSeconds=20'],
    ['that have waited', 304, null, '?waitSeconds=1'],
  ])(
    '%s are answered alike, whichever way they take through the service',
    async (_, status, other, query) => {
      const { token, etag } = await watching();
      const path = `${PATH}${query}`;
      const short = await poll(token, other ?? etag, { 'x-request-id': 'short' }, path);
      // What accepts more than the usual is for the guard and the pipeline.
      const accept = 'application/json, text/plain;q=0.5';
      const long = await poll(token, other ?? etag, { 'x-request-id': 'long', accept }, path);
      const told = ({ status, headers, body }: typeof short) => {
        const { date: _, ratelimit: __, 'x-request-id': ___, ...rest } = Object.fromEntries(headers);
        return { status, rest, body };
      };
      expect(told(short)).toEqual(told(long));
      expect([short.status, short.headers.get('etag')]).toEqual([status, etag]);
      expect([short.headers.get('x-request-id'), long.headers.get('x-request-id')]).toEqual([
        'short',
        'long',
      ]);
    },
  );

  it('are forgotten when their caller leaves', async () => {
    const { token, etag } = await watching();
    const held = (count: number) =>
      until(
        async () => (await plane.api.get('//metrics')).body as string,
        (metrics) => new RegExp(`^fabric_held_polls ${count}$`, 'm').test(metrics),
      );
    const leaving = new AbortController();
    const headers = { authorization: `Bearer ${token}`, 'if-none-match': etag };
    const left = fetch(`${plane.url}/api/v1${PATH}?waitSeconds=50`, { headers, signal: leaving.signal });
    await held(1);
    leaving.abort();
    await expect(left).rejects.toThrow();
    await held(0);
  });

  it('wait for what they are to be told, the end of the membership included', async () => {
    const { node, token, etag } = await watching();
    const path = `/clusters/${node.clusterId}/nodes/${node.nodeId}`;
    const held = () =>
      until(
        async () => (await plane.api.get('//metrics')).body as string,
        (metrics) => /^fabric_held_polls 1$/m.test(metrics),
      );
    const first = poll(token, etag, {}, `${PATH}?waitSeconds=50`);
    await held();
    created(await plane.api.patch(path, { telemetryEnabled: true }));
    const changed = await first;
    expect([changed.status, changed.headers.get('etag') === etag]).toEqual([200, false]);
    const second = poll(token, changed.headers.get('etag') ?? '', {}, `${PATH}?waitSeconds=50`);
    await held();
    created(await plane.api.post(`${path}/revoke`, { reason: 'The host was stolen.' }));
    const ended = await second;
    expect([ended.status, ended.headers.get('content-type')]).toEqual([
      401,
      expect.stringContaining('problem+json'),
    ]);
  });

  it('are for the guard where they ask for what nobody offers', async () => {
    const { token, etag } = await watching();
    for (const query of ['?waitSeconds=56', '?waitSeconds=1&waitSeconds=1', '?waitSeconds=', '?other=1']) {
      expect([query, (await poll(token, etag, {}, `${PATH}${query}`)).status]).toEqual([query, 400]);
    }
  });

  it('count against the limit of their node, and stop at it', async () => {
    const { token, etag } = await watching();
    const rest = [];
    for (let n = 0; n < PER_MINUTE - 1; n += 1) {
      const { status, headers } = await poll(token, etag);
      expect(status).toBe(304);
      rest.push(/r=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1]);
    }
    expect(rest).toEqual(Array.from({ length: PER_MINUTE - 1 }, (_, n) => String(PER_MINUTE - 2 - n)));
    const refused = await poll(token, etag);
    expect([refused.status, refused.body.code]).toEqual([429, 'rate_limited']);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  });

  it('end with a change, and with the membership', async () => {
    const { node, token, etag } = await watching();
    expect((await poll(token, etag)).status).toBe(304);
    const path = `/clusters/${node.clusterId}/nodes/${node.nodeId}`;
    created(await plane.api.patch(path, { telemetryEnabled: true }));
    const changed = await poll(token, etag);
    expect([changed.status, changed.headers.get('etag') === etag]).toEqual([200, false]);
    created(await plane.api.post(`${path}/revoke`, { reason: 'The host was stolen.' }));
    expect((await poll(token, changed.headers.get('etag') ?? '')).status).toBe(401);
  });

  it('are refused for a token that nobody issued, and for an Accept that allows no JSON', async () => {
    const { token, etag } = await watching();
    expect((await poll(`${token.slice(0, -4)}AAAA`, etag)).status).toBe(401);
    expect((await poll(token, etag, { accept: 'text/html' })).status).toBe(406);
  });
});
