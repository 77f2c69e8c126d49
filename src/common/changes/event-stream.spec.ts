import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { EventStream } from './event-stream.js';
import type { OrderedChange } from './feed-change.js';
import { concerns, type OrderedFeed, type OrderedPage } from './ordered-feed.js';

/** A feed in memory with as many changes as the test says; every other one is of cluster `b`. */
class MemoryFeed implements Pick<OrderedFeed, 'last' | 'prunedThrough' | 'after'> {
  last = 0;
  prunedThrough = 0;
  reads = 0;

  async after(cursor: number, clusters: readonly string[] | null): Promise<OrderedPage | null> {
    this.reads += 1;
    if (cursor < this.prunedThrough) return null;
    const through = Math.min(this.last, cursor + 100);
    const rows = Array.from({ length: through - cursor }, (_, nth) => changeAt(cursor + nth + 1));
    return { changes: rows.filter((row) => concerns(row, clusters)), through };
  }
}

function changeAt(position: number): OrderedChange {
  return {
    position,
    id: position,
    kind: 'test.changed',
    resourceType: 'test',
    resourceId: String(position),
    clusterId: position % 2 === 0 ? 'b' : 'a',
    nodeId: null,
    revision: null,
    occurredAt: new Date(0),
  };
}

let feed: MemoryFeed;
const streams: EventStream[] = [];

beforeEach(() => {
  feed = new MemoryFeed();
});
afterEach(() => {
  jest.restoreAllMocks();
  for (const stream of streams.splice(0)) stream.destroy();
});

function open(options: { cursor?: number | null; clusters?: readonly string[] | null } = {}): EventStream {
  const stream = new EventStream(feed as unknown as OrderedFeed, {
    cursor: null,
    clusters: null,
    ...options,
  });
  streams.push(stream);
  return stream;
}

/** What the stream sends until `count` frames with an id have come, as their ids. */
async function ids(stream: EventStream, count: number): Promise<string[]> {
  let text = '';
  const found = () => [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => id ?? '');
  while (found().length < count) {
    const chunk: Buffer | null = stream.read();
    if (chunk === null) await new Promise((resolve) => stream.once('readable', resolve));
    else text += chunk.toString();
  }
  return found();
}

/** Lets everything run that is ready to run. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('one stream of events', () => {
  it('starts behind its cursor and goes on when the feed grows', async () => {
    feed.last = 3;
    const stream = open({ cursor: 1 });
    expect(await ids(stream, 2)).toEqual(['2', '3']);
    feed.last = 5;
    stream.advance();
    stream.advance();
    expect(await ids(stream, 2)).toEqual(['4', '5']);
  });

  it('shows only its clusters, and others from the moment that it is told', async () => {
    feed.last = 4;
    const stream = open({ cursor: 0, clusters: ['a'] });
    expect(await ids(stream, 2)).toEqual(['1', '3']);
    stream.narrow(['b']);
    feed.last = 8;
    stream.advance();
    expect(await ids(stream, 2)).toEqual(['6', '8']);
  });

  it('stops reading the feed while nobody takes what it has, and loses nothing by it', async () => {
    feed.last = 20_000;
    const stream = open({ cursor: 0 });
    stream.read(0);
    for (let times = 0; times < 50; times += 1) await settle();
    const { reads } = feed;
    stream.advance();
    await settle();
    expect(feed.reads).toBe(reads);
    expect(stream.readableLength).toBeLessThan(200_000);
    const all = await ids(stream, 20_000);
    expect(all).toEqual(all.map((_, nth) => String(nth + 1)));
  });

  it('sends a comment to keep the connection, but none to a reader that is busy with events', async () => {
    const stream = open();
    stream.read();
    stream.keepAlive();
    expect(String(stream.read())).toBe(': alive\n\n');
    feed.last = 20_000;
    stream.advance();
    for (let times = 0; times < 50; times += 1) await settle();
    const waiting = stream.readableLength;
    stream.keepAlive();
    expect(stream.readableLength).toBe(waiting);
  });

  it('gives up a reader that has taken nothing for a minute', async () => {
    feed.last = 20_000;
    const stream = open({ cursor: 0 });
    stream.read(0);
    for (let times = 0; times < 50; times += 1) await settle();
    stream.keepAlive();
    expect(stream.destroyed).toBe(false);
    const now = performance.now();
    jest.spyOn(performance, 'now').mockReturnValue(now + 61_000);
    stream.keepAlive();
    expect(stream.destroyed).toBe(true);
  });

  it('resets when its place in the feed is gone while it reads', async () => {
    feed.last = 10;
    const stream = open({ cursor: 2 });
    expect(await ids(stream, 8)).toHaveLength(8);
    feed.last = 30;
    feed.prunedThrough = 20;
    stream.advance();
    expect(await ids(stream, 1)).toEqual(['30']);
    feed.last = 4;
    stream.advance();
    expect(await ids(stream, 1)).toEqual(['4']);
  });

  it('ends when the feed cannot be read, so that the client comes back', async () => {
    const stream = open();
    const ended = new Promise((resolve) => stream.once('end', resolve));
    feed.after = () => Promise.reject(new Error('the database is away'));
    feed.last = 1;
    stream.advance();
    stream.resume();
    await ended;
    stream.advance();
    stream.keepAlive();
    stream.finish();
  });
});
