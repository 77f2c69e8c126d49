import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { issueAt, issueTimes } from './issue.js';

const lifetimes = fc.integer({ min: 60, max: 2_592_000 });
const instants = fc.date({ min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true });

describe('an issue', () => {
  it('is current from its beginning up to, and not including, its end', () => {
    fc.assert(
      fc.property(fc.uuid(), lifetimes, instants, (nodeId, lifetime, now) => {
        const { number, beganAt, endsAt } = issueAt(nodeId, lifetime, now);
        expect(beganAt.getTime()).toBeLessThanOrEqual(now.getTime());
        expect(endsAt.getTime()).toBeGreaterThan(now.getTime());
        expect(issueAt(nodeId, lifetime, beganAt).number).toBe(number);
        expect(issueAt(nodeId, lifetime, new Date(endsAt.getTime() - 1)).number).toBe(number);
        expect(issueAt(nodeId, lifetime, endsAt).number).toBe(number + 1);
        expect(issueAt(nodeId, lifetime, endsAt).beganAt).toEqual(endsAt);
      }),
    );
  });

  it('lasts half of the lifetime, so that a snapshot in hand has the other half left', () => {
    fc.assert(
      fc.property(fc.uuid(), lifetimes, instants, (nodeId, lifetime, now) => {
        const issue = issueAt(nodeId, lifetime, now);
        expect(issue.endsAt.getTime() - issue.beganAt.getTime()).toBe(Math.floor(lifetime / 2) * 1000);
        const { issuedAt, expiresAt } = issueTimes(issue, new Date(0), lifetime);
        expect(issuedAt).toEqual(issue.beganAt);
        expect(expiresAt.getTime() - now.getTime()).toBeGreaterThan((lifetime / 2) * 1000 - 1);
      }),
    );
  });

  it('was issued when the content last changed, where that is later', () => {
    const issue = issueAt('n', 600, new Date('2026-11-23T08:00:00Z'));
    const changedAt = new Date(issue.beganAt.getTime() + 5_000);
    expect(issueTimes(issue, changedAt, 600)).toEqual({
      issuedAt: changedAt,
      expiresAt: new Date(changedAt.getTime() + 600_000),
    });
  });

  it('begins at different times for different nodes', () => {
    const now = new Date('2026-11-23T08:00:00Z');
    const began = Array.from({ length: 200 }, (_, index) =>
      issueAt(`node-${index}`, 86_400, now).beganAt.getTime(),
    );
    expect(new Set(began).size).toBeGreaterThan(190);
    const early = began.filter((at) => now.getTime() - at < 21_600_000).length;
    expect(early).toBeGreaterThan(60);
    expect(early).toBeLessThan(140);
  });
});
