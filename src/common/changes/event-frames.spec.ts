import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { changeFrame, resetFrame } from './event-frames.js';
import type { OrderedChange } from './feed-change.js';

const change: OrderedChange = {
  position: 4711,
  id: 9,
  kind: 'cluster.created',
  resourceType: 'cluster',
  resourceId: 'c1',
  clusterId: 'c1',
  nodeId: null,
  revision: null,
  occurredAt: new Date('2026-11-23T08:00:00.000Z'),
};

describe('the frames of the event stream', () => {
  it('carry a change under its position', () => {
    expect(changeFrame(change)).toBe(
      'id: 4711\ndata: {"id":"4711","kind":"cluster.created","resourceType":"cluster","resourceId":"c1","clusterId":"c1","revision":null,"occurredAt":"2026-11-23T08:00:00.000Z"}\n\n',
    );
  });

  it('say null for a change of no single resource', () => {
    expect(changeFrame({ ...change, resourceId: '' })).toContain('"resourceId":null');
  });

  it('carry a reset as an event of its own', () => {
    expect(resetFrame(12, 'cursor_too_old')).toBe(
      'event: reset\nid: 12\ndata: {"id":"12","kind":"reset","reason":"cursor_too_old"}\n\n',
    );
  });

  it('are one data line, whatever the resource is called', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (resourceId) => {
        const lines = changeFrame({ ...change, resourceId }).split(/\r\n|\r|\n/);
        return lines.length === 4 && lines[2] === '' && lines[3] === '';
      }),
    );
  });
});
