import { describe, expect, it } from '@jest/globals';
import { newId } from '../../common/ids/uuid.js';
import { writtenBetween } from './audit-record.js';

describe('the time in the id of an event', () => {
  it('is when it was written, give or take a day', () => {
    expect(writtenBetween('019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21')).toEqual({
      from: new Date(0x019ab0c47e11 - 86_400_000),
      to: new Date(0x019ab0c47e11 + 86_400_000),
    });
  });

  it('holds for ids that are made now', () => {
    const range = writtenBetween(newId());
    expect(range?.from.getTime()).toBeLessThan(Date.now());
    expect(range?.to.getTime()).toBeGreaterThan(Date.now());
  });

  it('is not in ids of other versions', () => {
    expect(writtenBetween('3f2504e0-4f89-41d3-9a0c-0305e82c3301')).toBeNull();
  });
});
