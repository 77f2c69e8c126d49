import { describe, expect, it } from '@jest/globals';
import { RequestWindows } from './request-windows.js';

describe('request windows', () => {
  let now = 0;
  const windows = (limit: number) => {
    now = 1_000;
    return new RequestWindows(limit, 60_000, () => now);
  };

  it('count each caller for itself, and tell what is left', () => {
    const each = windows(2);
    expect([each.spend('a').left, each.spend('a').left, each.spend('a').left]).toEqual([1, 0, -1]);
    expect(each.spend('b').left).toBe(1);
  });

  it('begin with the first request and end at their instant', () => {
    const each = windows(1);
    expect(each.spend('a')).toEqual({ left: 0, resetMs: 60_000 });
    now += 59_999;
    expect(each.spend('a')).toEqual({ left: -1, resetMs: 1 });
    now += 1;
    expect(each.spend('a')).toEqual({ left: 0, resetMs: 60_000 });
  });

  it('forget callers that are gone, and keep those whose window is open', () => {
    const each = windows(1);
    each.spend('gone');
    now += 30_000;
    each.spend('busy');
    now += 30_001;
    each.spend('new');
    expect(each.spend('busy').left).toBe(-1);
    expect((each as unknown as { windows: Map<string, unknown> }).windows.has('gone')).toBe(false);
  });
});
