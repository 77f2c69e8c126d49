import { Socket } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { Departure } from './departure.js';
import { Watch } from './watch.js';

const LONG_MS = 600_000;
const open = () => {
  const socket = new Socket();
  let closed = 0;
  const watch = new Watch(Departure.of(socket), () => {
    closed += 1;
  });
  return { watch, leave: () => socket.emit('close', false), closed: () => closed };
};

describe('a watch', () => {
  it('ends a wait with a change', async () => {
    const { watch } = open();
    const wait = watch.next(LONG_MS);
    watch.release('changed');
    expect(await wait).toBe('changed');
  });

  it('keeps a change that comes between two waits for the next one, once', async () => {
    const { watch } = open();
    watch.release('changed');
    watch.release('changed');
    expect(await watch.next(LONG_MS)).toBe('changed');
    expect(await watch.next(1)).toBe('timeout');
  });

  it('ends every wait from the time on that the service stops', async () => {
    const { watch } = open();
    const wait = watch.next(LONG_MS);
    watch.release('stopping');
    expect([await wait, await watch.next(LONG_MS), await watch.next(LONG_MS)]).toEqual([
      'stopping',
      'stopping',
      'stopping',
    ]);
  });

  it('ends when the caller leaves, or has left', async () => {
    const { watch, leave } = open();
    const wait = watch.next(LONG_MS);
    leave();
    expect([await wait, await watch.next(LONG_MS)]).toEqual(['gone', 'gone']);
  });

  it('ends when its time is over', async () => {
    expect(await open().watch.next(1)).toBe('timeout');
  });
});
