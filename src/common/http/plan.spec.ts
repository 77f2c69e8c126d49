import { describe, expect, it } from '@jest/globals';
import { newId } from '../ids/uuid.js';
import type { SnapshotChange } from '../transaction/ports.js';
import { type PlannedCall, PlannedChanges, planAnswer, planHash } from './plan.js';

const clusterId = newId();
interface Planned extends Omit<PlannedCall, 'changes'> {
  newIds: readonly string[];
  changes: readonly SnapshotChange[];
}
/** A call whose changes are found in two batches. */
const call = ({ newIds = [], changes = [], ...more }: Partial<Planned> = {}): PlannedCall => {
  const planned = new PlannedChanges(newIds);
  planned.add(changes.slice(0, 1));
  planned.add(changes.slice(1));
  const about = { operationId: 'updateNode', path: '/api/v1/clusters/x', body: { name: 'x' } };
  return { ...about, ...more, changes: planned };
};
const change = (nodeId: string, before: unknown, after: unknown) => ({ clusterId, nodeId, before, after });

describe('a plan hash', () => {
  it('is the same whatever ids the call makes', () => {
    const [one, two] = [newId(), newId()];
    const node = newId();
    const planned = (id: string, other: string, newIds = [id, other]) =>
      call({
        newIds,
        changes: [
          change(id, null, { nodeId: id }),
          change(node, { peers: [] }, { peers: [id, `${other}/x`] }),
        ],
      });
    expect(planHash(planned(one, two))).toBe(planHash(planned(newId(), newId())));
    expect(planHash(planned(one, two))).not.toBe(planHash(planned(one, two, [])));
  });

  it('is the same whatever keys it makes', () => {
    const planned = (kid: string) =>
      call({ newIds: [newId(), kid], changes: [change(clusterId, { keys: [] }, { keys: [{ kid }] })] });
    const [one, other] = [
      'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs',
      'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k',
    ];
    expect(planHash(planned(one))).toBe(planHash(planned(other)));
  });

  it('depends on which of the new ids goes where', () => {
    const [one, two] = [newId(), newId()];
    const peers = (ids: string[]) =>
      call({ newIds: [one, two], changes: [change(clusterId, null, { ids })] });
    expect(planHash(peers([one, two]))).not.toBe(planHash(peers([two, one])));
  });

  it('does not depend on the order in which nodes are found, nor of members', () => {
    const [one, two] = [change(newId(), { a: 1, b: 2 }, { a: 2 }), change(newId(), null, {})];
    expect(planHash(call({ changes: [one, two] }))).toBe(planHash(call({ changes: [two, one] })));
    expect(planHash(call({ body: { a: 1, b: 2 } }))).toBe(planHash(call({ body: { b: 2, a: 1 } })));
  });

  it.each<[string, Partial<Planned>]>([
    ['operation', { operationId: 'other' }],
    ['path', { path: '/api/v1/clusters/y' }],
    ['body', { body: { name: 'y' } }],
    ['nodes', { changes: [change(clusterId, null, {})] }],
  ])('is another with another %s', (_, more) => expect(planHash(call(more))).not.toBe(planHash(call())));

  it('tells an absent snapshot from one that is empty', () => {
    const hash = (before: unknown, after: unknown) =>
      planHash(call({ changes: [change(clusterId, before, after)] }));
    expect(new Set([hash(null, {}), hash({}, null), hash({}, {}), hash(null, null)]).size).toBe(4);
  });

  it('takes no body for null, which JSON has', () => {
    expect(planHash(call({ body: undefined }))).toBe(planHash(call({ body: null })));
  });
});

describe('the answer of a dry run', () => {
  it('shows a hundred changes by node id and counts all', () => {
    const ids = Array.from({ length: 130 }, newId);
    const changes = [...ids].reverse().map((id) => change(id, { n: 1 }, { n: 2 }));
    const answer = planAnswer(call({ changes }), { id: 'x' });
    expect(answer).toMatchObject({
      dryRun: true,
      result: { id: 'x' },
      affectedNodes: 130,
      changesTruncated: true,
    });
    expect(answer.changes.map(({ nodeId }) => nodeId)).toEqual([...ids].sort().slice(0, 100));
    expect(answer.planHash).toBe(planHash(call({ changes })));
  });

  it('carries patches from nothing and to nothing', () => {
    const answer = planAnswer(
      call({ changes: [change(clusterId, null, { a: 1 }), change(newId(), { a: 1 }, null)] }),
      null,
    );
    expect(answer.changes.map(({ patch }) => patch)).toEqual([
      [{ op: 'add', path: '/a', value: 1 }],
      [{ op: 'remove', path: '/a' }],
    ]);
    expect(answer.changesTruncated).toBe(false);
  });
});
