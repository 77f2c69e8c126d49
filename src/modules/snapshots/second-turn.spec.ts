import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { SecondTurn } from './second-turn.js';

let server: Server;
beforeEach(async () => {
  server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
});
afterEach(() => void server.close());

const opened: Socket[] = [];
afterEach(() => {
  for (const socket of opened.splice(0)) socket.destroy();
});

/** Both ends of a connection, and what was read at the service's. */
async function connection() {
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const there = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [here] = await accepted;
  const read: string[] = [];
  here.on('data', (chunk) => read.push(String(chunk)));
  opened.push(here, there);
  return { here, there, read };
}

describe('a connection whose node has its answer', () => {
  it('is not read while others wait, and is read on when their turn is over', async () => {
    const turn = new SecondTurn(600_000);
    const [answered, other] = [await connection(), await connection()];
    turn.add(answered.here);
    answered.there.write('again');
    other.there.write('something');
    await once(other.here, 'data');
    expect(answered.read).toEqual([]);
    turn.begin();
    await once(answered.here, 'data');
    expect(answered.read).toEqual(['again']);
  });

  it('is read on after a while, although others still wait', async () => {
    const { here, there, read } = await connection();
    new SecondTurn(1).add(here);
    there.write('again');
    await once(here, 'data');
    expect(read).toEqual(['again']);
  });

  it('is read on when its own while is over, and not with who waited before it', async () => {
    const [first, later] = [await connection(), await connection()];
    const paused = () => [first.here.isPaused(), later.here.isPaused()];
    jest.useFakeTimers({ now: 0 });
    try {
      const turn = new SecondTurn(200);
      turn.add(first.here);
      jest.advanceTimersByTime(150);
      turn.add(later.here);
      jest.advanceTimersByTime(50);
      expect(paused()).toEqual([false, true]);
      jest.advanceTimersByTime(149);
      expect(paused()).toEqual([false, true]);
      jest.advanceTimersByTime(1);
      expect(paused()).toEqual([false, false]);
    } finally {
      jest.useRealTimers();
    }
  });

  it('may be gone before that', async () => {
    const turn = new SecondTurn(600_000);
    const { here } = await connection();
    turn.add(here);
    here.destroy();
    await once(here, 'close');
    turn.begin();
    expect(here.destroyed).toBe(true);
  });
});
