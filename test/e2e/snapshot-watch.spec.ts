import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { DatabaseClock } from '../../src/common/database/database-clock.js';
import { EarlyHold } from '../../src/modules/snapshots/early-hold.js';
import { issueAt } from '../../src/modules/snapshots/issue.js';
import { SecondTurn } from '../../src/modules/snapshots/second-turn.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, several, unique } from '../support/given.js';
import { heldPolls } from '../support/held-polls.js';
import { decodedPayload, WatchingNode } from '../support/watching-node.js';

const limits = { unknownCredentialsPerMinute: 10_000, principalPerMinute: 100_000, nodePerMinute: 100_000 };

let plane: ControlPlane;
let second: ControlPlane;
beforeAll(async () => {
  plane = await startControlPlane({ config: { limits } });
  second = await startControlPlane({ beside: plane, config: { limits } });
});
afterAll(async () => {
  await second?.close();
  await plane?.close();
});
afterEach(() => {
  jest.restoreAllMocks();
});

const rename = async (watching: WatchingNode) =>
  created(await plane.api.patch(watching.path, { name: unique('renamed') }));

describe('a held poll', () => {
  it('whose wake-up is lost costs that poll at most: it still ends with what is new', async () => {
    const watching = await WatchingNode.admit(plane);
    await watching.fetch();
    const lost = jest.spyOn(EarlyHold.prototype, 'release').mockImplementation(() => undefined);
    // Long enough for a change on a busy machine, since it is over before it is answered otherwise.
    const held = watching.poll({ waitSeconds: 12 });
    await heldPolls(plane, 1);
    await rename(watching);
    const answer = await held;
    expect(lost).toHaveBeenCalled();
    expect([answer.status, decodedPayload(answer.body.jws).generation]).toEqual([
      200,
      (await plane.api.get(`${watching.path}/snapshot`)).body.generation,
    ]);
  });

  it('wakes for a change of its node, and no other does', async () => {
    const { id } = await given(plane).cluster();
    const admit = () => WatchingNode.admit(plane, id);
    const [changed, other, last] = [await admit(), await admit(), await admit()];
    await Promise.all([changed, other, last].map((node) => node.fetch()));
    const released = jest.spyOn(EarlyHold.prototype, 'release');
    const [one, waiting, two] = [changed, other, last].map((node) => node.poll({ waitSeconds: 55 }));
    await heldPolls(plane, 3);
    await rename(changed);
    await rename(last); // whoever wakes for the first change has woken when this one is answered
    expect([(await one)?.status, (await two)?.status]).toEqual([200, 200]);
    expect(new Set(released.mock.contexts).size).toBe(2);
    await rename(other);
    expect((await waiting)?.status).toBe(200);
  });

  it('of many wakes for a change of their cluster, each on the instance that holds it', async () => {
    const { id } = await given(plane).cluster();
    const nodes = await several(12, () => WatchingNode.admit(plane, id));
    await Promise.all(nodes.map((node) => node.fetch()));
    const polls = nodes.map((node, index) =>
      node.poll({ waitSeconds: 55, at: index % 2 === 0 ? plane : second }),
    );
    await Promise.all([heldPolls(plane, 6), heldPolls(second, 6)]);
    created(await plane.api.put(`/clusters/${id}/policy`, { degradedGraceSeconds: 88 }));
    const answers = await Promise.all(polls);
    expect(answers.map(({ body }) => decodedPayload(body.jws).degradedGraceSeconds)).toEqual(
      nodes.map(() => 88),
    );
  });

  it('of a crowd is answered before those who have their answer are heard again, and these are heard then', async () => {
    const watching = await WatchingNode.admit(plane);
    await watching.fetch();
    const [, , clusterId] = watching.path.split('/');
    const turns = jest.spyOn(SecondTurn.prototype, 'add');
    // More than are looked at together; on a connection each.
    const crowd = Array.from({ length: 600 }, () => watching.poll({ waitSeconds: 55 }));
    await heldPolls(plane, 600);
    created(await plane.api.put(`/clusters/${clusterId}/policy`, { degradedGraceSeconds: 99 }));
    const answers = await Promise.all(crowd);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(turns).toHaveBeenCalled();
    await watching.fetch();
    const again = await Promise.all(answers.map(() => watching.poll({ waitSeconds: 0 })));
    expect(new Set(again.map(({ status }) => status))).toEqual(new Set([304]));
  });

  it('ends when the service stops, and says when its node may come back', async () => {
    const third = await startControlPlane({ beside: plane, config: { limits } });
    const nodes = await Promise.all([0, 1, 2].map(() => WatchingNode.admit(plane)));
    await Promise.all(nodes.map((node) => node.fetch()));
    const polls = nodes.map((node) => node.poll({ waitSeconds: 55, at: third }));
    await heldPolls(third, 3);
    await third.close();
    const answers = await Promise.all(polls);
    expect(
      answers.map(({ status, headers }) => [status, headers.get('retry-after'), headers.get('etag')]),
    ).toEqual(nodes.map(({ etag }) => [304, '1', etag]));
  });
});

describe('a snapshot that is issued again', () => {
  /** Lets an instance take it for so much later. */
  const shiftClock = (at: ControlPlane, byMs: number) => {
    const clock = at.app.get(DatabaseClock);
    const now = clock.now.bind(clock);
    jest.spyOn(clock, 'now').mockImplementation(() => new Date(now().getTime() + byMs));
    return () => clock.now();
  };

  it('comes at half of its lifetime: later times and another ETag, the same everywhere, of the same generation', async () => {
    const watching = await WatchingNode.admit(plane);
    const first = await watching.fetch();
    const etag = watching.etag ?? '';
    const { endsAt } = issueAt(watching.node.nodeId, 86_400, plane.app.get(DatabaseClock).now());
    const untilMs = endsAt.getTime() - plane.app.get(DatabaseClock).now().getTime();
    // A quarter of a second before the next issue begins, a poll is held.
    const clocks = [plane, second].map((at) => shiftClock(at, untilMs - 250));
    const answers = await Promise.all([plane, second].map((at) => watching.poll({ waitSeconds: 55, at })));
    const [here, there] = answers.map(({ body }) => decodedPayload(body.jws));
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(here).toEqual(there);
    expect(answers[0]?.headers.get('etag')).toBe(answers[1]?.headers.get('etag'));
    expect(answers[0]?.headers.get('etag')).not.toBe(etag);
    expect(here.issuedAt).toBe(endsAt.toISOString());
    const { issuedAt, expiresAt, ...content } = first;
    expect(here).toEqual({
      ...content,
      issuedAt: endsAt.toISOString(),
      expiresAt: new Date(endsAt.getTime() + 86_400_000).toISOString(),
    });
    expect(Date.parse(expiresAt) - Number(clocks[0]?.())).toBeGreaterThan(0);
    expect(Date.parse(issuedAt)).toBeLessThan(endsAt.getTime());
    // What is kept is the generation, as the node first had it.
    const { items } = (await plane.api.get(`${watching.path}/snapshots`)).body;
    expect(items).toHaveLength(1);
    expect((await plane.api.get(`${watching.path}/snapshot?generation=${first.generation}`)).body).toEqual(
      first,
    );
  });

  it('is not given again by an instance whose clock has not come so far', async () => {
    const watching = await WatchingNode.admit(plane);
    await watching.fetch();
    const { endsAt } = issueAt(watching.node.nodeId, 86_400, plane.app.get(DatabaseClock).now());
    shiftClock(plane, endsAt.getTime() - Date.now() + 5_000);
    shiftClock(second, endsAt.getTime() - Date.now() - 30_000);
    const answer = await watching.poll();
    expect(answer.status).toBe(200);
    watching.etag = answer.headers.get('etag');
    const other = await watching.poll({ at: second });
    expect([other.status, other.headers.get('etag')]).toEqual([304, watching.etag]);
  });
});
