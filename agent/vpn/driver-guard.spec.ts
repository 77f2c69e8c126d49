import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { guardTunnel } from './driver-guard.js';
import type { GuardMessage, GuardOrder, GuardReport } from './guard-protocol.js';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rap-guard-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const sh = (script: string) => ['/bin/sh', '-c', script];
const left = (leftMs: number) => ({ at: String(process.hrtime.bigint()), leftMs });

/** A guard over a tunnel that is a file: up while it is there. */
class Guarded {
  readonly input = new PassThrough();
  readonly reports: GuardReport[] = [];
  readonly signal = new AbortController();
  readonly file = join(directory, 'tunnel');
  readonly over: Promise<void>;
  private waiting: (() => void) | null = null;

  constructor(change: Partial<GuardOrder> = {}) {
    this.over = guardTunnel(
      this.input,
      (report) => {
        this.reports.push(report);
        this.waiting?.();
      },
      this.signal.signal,
    );
    this.send({
      start: sh('echo "$TOKEN" > "$TUNNEL"'),
      stop: sh('rm -f "$TUNNEL"'),
      env: { TUNNEL: this.file, TOKEN: '7' },
      startTimeoutMs: 60_000,
      stopTimeoutMs: 60_000,
      deadline: left(60_000),
      ...change,
    });
  }

  send(message: GuardOrder | GuardMessage): void {
    this.input.write(`${JSON.stringify(message)}\n`);
  }

  async reported(): Promise<GuardReport> {
    while (this.reports.length === 0) {
      await new Promise<void>((resolve) => {
        this.waiting = resolve;
      });
    }
    return this.reports[0] as GuardReport;
  }
}

describe('the guard of a tunnel', () => {
  it('brings it up with what it was given, and takes it down when it is told to', async () => {
    const guard = new Guarded();
    expect(await guard.reported()).toEqual({ up: true });
    expect(await readFile(guard.file, 'utf8')).toBe('7\n');
    guard.send({ stop: true });
    await guard.over;
    expect(existsSync(guard.file)).toBe(false);
  });

  it('takes it down when the agent is gone, and when a signal says so', async () => {
    const orphan = new Guarded();
    await orphan.reported();
    orphan.input.end();
    await orphan.over;
    expect(existsSync(orphan.file)).toBe(false);
    const told = new Guarded();
    await told.reported();
    told.signal.abort();
    await told.over;
    expect(existsSync(told.file)).toBe(false);
  });

  it('takes it down by itself when its time is over, and not before one that was prolonged', async () => {
    // Longer where the machine was too slow to bring it up and to prolong it in time.
    for (let leftMs = 300; ; leftMs *= 2) {
      const began = performance.now();
      const guard = new Guarded({ deadline: left(leftMs) });
      await guard.reported();
      const prolonged = performance.now() + 3 * leftMs;
      guard.send({ deadline: left(3 * leftMs) });
      const isInTime = performance.now() - began < leftMs / 2;
      await guard.over;
      const over = performance.now();
      expect(existsSync(guard.file)).toBe(false);
      if (!isInTime) continue;
      expect(over).toBeGreaterThanOrEqual(prolonged - 1);
      return;
    }
  });

  it('counts from the moment that the agent names, not from when it hears of it', async () => {
    const at = String(process.hrtime.bigint() - 10_000_000_000n);
    const guard = new Guarded({ deadline: { at, leftMs: 10_000 } });
    await guard.over;
    expect(existsSync(guard.file)).toBe(false);
  });

  it('says why a tunnel did not come up, and takes down what may be there', async () => {
    const guard = new Guarded({ start: sh('echo half > "$TUNNEL"; exit 3') });
    expect(await guard.reported()).toEqual({ failed: '/bin/sh ended with exit code 3' });
    await guard.over;
    expect(existsSync(guard.file)).toBe(false);
    const absent = new Guarded({ start: [join(directory, 'absent')] });
    expect(await absent.reported()).toEqual({ failed: expect.stringContaining('ENOENT') });
    await absent.over;
  });

  it('kills a start that hangs, with all that it has begun, when its time is over', async () => {
    const guard = new Guarded({ start: sh('sleep 1000 & sleep 1000'), startTimeoutMs: 200 });
    expect(await guard.reported()).toEqual({ failed: '/bin/sh ended with SIGKILL' });
    await guard.over;
  });

  it('ends where it gets no order first, since nothing is up then', async () => {
    for (const word of [{ stop: true }, { deadline: left(60_000) }]) {
      const input = new PassThrough();
      const reports: GuardReport[] = [];
      const over = guardTunnel(input, (report) => reports.push(report), new AbortController().signal);
      input.write(`${JSON.stringify(word)}\n`);
      await over;
      expect(reports).toEqual([]);
    }
  });

  it('repeats a stop until it succeeds', async () => {
    const allowed = join(directory, 'allowed');
    const guard = new Guarded({ stop: sh(`[ -e ${allowed} ] && rm -f "$TUNNEL"`) });
    await guard.reported();
    guard.reports.length = 0;
    guard.send({ stop: true });
    expect(await guard.reported()).toEqual({ stopFailed: '/bin/sh ended with exit code 1' });
    expect(existsSync(guard.file)).toBe(true);
    await writeFile(allowed, '');
    await guard.over;
    expect(existsSync(guard.file)).toBe(false);
  });
});
