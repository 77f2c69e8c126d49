import { describe, it } from '@jest/globals';
import { Alarm } from './alarm.js';

const NEVER = 1_000_000;

describe('an alarm', () => {
  it('wakes who sleeps, and who is about to', async () => {
    const alarm = new Alarm();
    const { signal } = new AbortController();
    const asleep = alarm.sleep(NEVER, signal);
    alarm.ring();
    await asleep;
    alarm.ring();
    await alarm.sleep(NEVER, signal);
    await alarm.sleep(1, signal); // a ring wakes once
  });

  it('lets nobody sleep on when all stops', async () => {
    const alarm = new Alarm();
    const stop = new AbortController();
    const asleep = alarm.sleep(NEVER, stop.signal);
    stop.abort();
    await asleep;
    await alarm.sleep(NEVER, stop.signal);
  });
});
