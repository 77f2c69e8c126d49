import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, unique } from '../support/given.js';

const UNKNOWN = 60;
const PRINCIPAL = 20;

let controlPlane: ControlPlane;
beforeAll(async () => {
  const limits = { unknownCredentialsPerMinute: UNKNOWN, principalPerMinute: PRINCIPAL, nodePerMinute: 240 };
  controlPlane = await startControlPlane({ config: { limits } });
});
afterAll(() => controlPlane?.close());

async function apiToken(): Promise<{ id: string; token: string }> {
  const answer = await controlPlane.api.post('/api-tokens', { name: unique('token'), role: 'auditor' });
  return created(answer) as { id: string; token: string };
}

/** The statuses of `times` calls, counted. */
async function statuses(
  times: number,
  call: () => Promise<{ status: number }>,
): Promise<Record<number, number>> {
  const counts: Record<number, number> = {};
  for (let n = 0; n < times; n += 1) {
    const { status } = await call();
    counts[status] = (counts[status] ?? 0) + 1;
  }
  return counts;
}

describe('rate limits', () => {
  it('stop an address that guesses, and nobody else behind it', async () => {
    const { api } = controlPlane;
    const revoked = await apiToken();
    const known = await apiToken();
    await api.delete(`/api-tokens/${revoked.id}`);
    // A dead token is no guess, however often it comes; nor is a request without any.
    expect(await statuses(UNKNOWN + 10, () => api.as(revoked.token).get('/me'))).toEqual({
      401: UNKNOWN + 10,
    });
    expect(await statuses(10, () => api.as(null).get('/me'))).toEqual({ 401: 10 });
    expect(await statuses(UNKNOWN + 5, () => api.as('a guess').get('/me'))).toEqual({ 401: UNKNOWN, 429: 5 });
    const limited = await api.as('another guess').get('/me');
    expect([limited.status, limited.body.code]).toEqual([429, 'rate_limited']);
    const retryAfter = Number(limited.headers.get('retry-after'));
    expect(retryAfter).toBeGreaterThanOrEqual(1);
    expect(retryAfter).toBeLessThanOrEqual(60);
    expect((await api.as(known.token).get('/me')).status).toBe(200);
    expect((await api.as(revoked.token).get('/me')).status).toBe(401);
  });

  it('stop a principal and tell it what is left', async () => {
    const { api } = controlPlane;
    const [busy, calm] = [await apiToken(), await apiToken()];
    const first = await api.as(busy.token).get('/me');
    expect(first.headers.get('ratelimit-policy')).toBe(`"default";q=${PRINCIPAL};w=60`);
    expect(first.headers.get('ratelimit')).toMatch(new RegExp(`^"default";r=${PRINCIPAL - 1};t=\\d+$`));
    expect(await statuses(PRINCIPAL + 4, () => api.as(busy.token).get('/me'))).toEqual({
      200: PRINCIPAL - 1,
      429: 5,
    });
    const limited = await api.as(busy.token).get('/me');
    expect(limited.headers.get('ratelimit')).toMatch(/^"default";r=0;t=\d+$/);
    expect(Number(limited.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect((await api.as(calm.token).get('/me')).status).toBe(200);
  });
});
