import { describe, expect, it } from '@jest/globals';
import { Turns } from './turns.js';

/** Work that ends when the test says so. */
function held() {
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { ended, end };
}

describe('turns', () => {
  it('let one piece of work through after the other, whatever becomes of it', async () => {
    const turns = new Turns();
    const done: string[] = [];
    const failing = turns.take(async () => {
      done.push('first');
      throw new Error('it fails');
    });
    const next = turns.take(async () => done.push('second'));
    await expect(failing).rejects.toThrow('it fails');
    await next;
    expect(done).toEqual(['first', 'second']);
  });

  it('let go at a stop who waits for work, but the next turn not before the work has ended', async () => {
    const [turns, stop, begun, report] = [new Turns(), new AbortController(), held(), held()];
    const said: string[] = [];
    const reporting = turns.takeUntil(stop.signal, async () => {
      begun.end();
      await report.ended;
      said.push('running');
    });
    // Asked for, and not begun.
    const beating = turns.takeUntil(stop.signal, async () => said.push('a heartbeat'));
    await begun.ended;
    stop.abort(new Error('stopped'));
    await expect(reporting).rejects.toThrow('stopped');
    await expect(beating).rejects.toThrow('stopped');
    const farewell = turns.take(async () => said.push('stopped'));
    report.end();
    await farewell;
    expect(said).toEqual(['running', 'stopped']);
  });

  it('begin nothing after a stop', async () => {
    const [turns, stop] = [new Turns(), new AbortController()];
    expect(await turns.takeUntil(stop.signal, async () => 'heard')).toBe('heard');
    stop.abort(new Error('stopped'));
    let hasBegun = false;
    const late = turns.takeUntil(stop.signal, async () => {
      hasBegun = true;
    });
    await expect(late).rejects.toThrow('stopped');
    await turns.take(async () => undefined);
    expect(hasBegun).toBe(false);
  });
});
