import { describe, expect, it } from '@jest/globals';
import { type ApiTokenStatus, apiTokenStatus } from './api-token.js';

const now = new Date('2026-11-23T08:00:00.000Z');
const before = new Date(now.getTime() - 1);
const after = new Date(now.getTime() + 1);

describe('apiTokenStatus', () => {
  it.each<[string, Date | null, Date | null, ApiTokenStatus]>([
    ['without an end', null, null, 'active'],
    ['in time', null, after, 'active'],
    ['at its expiry instant', null, now, 'expired'],
    ['past it', null, before, 'expired'],
    ['revoked in time', before, after, 'revoked'],
    ['revoked after it expired', now, before, 'revoked'],
  ])('%s', (_, revokedAt, expiresAt, status) =>
    expect(apiTokenStatus({ revokedAt, expiresAt }, now)).toBe(status),
  );
});
