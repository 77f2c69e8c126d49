import { setTimeout as sleep } from 'node:timers/promises';
import { canMoveClocks } from './chaos-postgres.js';
import type { ChaosStage, StagedAgent, StagedService } from './chaos-stage.js';
import { type DriverAct, FencedResource, refusedActs, type Stretch } from './checker/driver-acts.js';
import { FAIR_WEATHER } from './lease-proxy.js';
import type { Random } from './random.js';

/** After a fail-over nobody new gets a lease before that many seconds: the contract's longest lease, and grace. */
const HELD_SECONDS = 3_600 + 60;
/** Seconds by which the database's clock is set: more than a lease lasts in these runs. */
const CLOCK_STEP = 10;
/** So many holders are paused, at the most, to see one act come too late; four of five pauses make one. */
const MOST_PAUSES = 8;
/** How long a holder that goes on gets to act late. */
const LATE_ACT_MS = 2_000;

interface Fault {
  name: string;
  /** Does it, waits, and undoes it. */
  play: () => Promise<void>;
}

/** Kills, pauses, delays, loses, and sets clocks, as its seed decides; it undoes each thing before the next. */
export class Nemesis {
  /** When agents could not know how long their authority lasts. */
  readonly forwardSteps: Stretch[] = [];
  private readonly faults: readonly Fault[];

  constructor(
    private readonly stage: ChaosStage,
    private readonly random: Random,
    private readonly ttlMs: number,
  ) {
    this.faults = [
      this.fault('kill an agent', () => this.killAgent()),
      this.fault('pause the holder', () => this.pauseHolder()),
      this.fault('pause the holder again', () => this.pauseHolder()),
      this.fault('cut an agent off', () => this.cutOff()),
      this.fault('lose and delay messages', () => this.badWeather()),
      this.fault('kill an instance', () => this.killService(this.instance())),
      this.fault('pause an instance', () => this.pauseService(this.instance())),
      this.fault('kill the worker', () => this.killService(this.worker())),
      this.fault('pause the worker', () => this.pauseService(this.worker())),
      this.fault('kill the database', () => this.killDatabase()),
      this.fault('pause the database', () => this.pauseDatabase()),
      this.fault('fence a connection', () => this.fence()),
      this.fault('take a role away', () => this.takeRole()),
      ...(stage.redis === null ? [] : [this.fault('kill Redis', () => this.killRedis())]),
      ...(canMoveClocks
        ? [
            this.fault("skew an agent's clock", () => this.skewAgent()),
            this.fault("set the database's clock back", () => this.setClock(-CLOCK_STEP)),
            this.fault("set the database's clock forward", () => this.setClock(CLOCK_STEP)),
          ]
        : []),
    ];
  }

  /** The names of all faults that this machine can play. */
  get repertoire(): string[] {
    return this.faults.map(({ name }) => name);
  }

  /** Plays one fault after the other for so long, each at least once if there is time, in an order of the seed's. */
  async run(durationMs: number): Promise<void> {
    const deadline = performance.now() + durationMs;
    while (performance.now() < deadline) await this.playAll(this.repertoire, deadline);
  }

  /** Plays each of these faults that this machine can play, in an order of the seed's. */
  async playAll(names: readonly string[], deadline = Number.POSITIVE_INFINITY): Promise<void> {
    let left = this.faults.filter(({ name }) => names.includes(name));
    while (left.length > 0 && performance.now() < deadline) {
      const fault = this.random.pick(left);
      left = left.filter((each) => each !== fault);
      await fault.play();
      await sleep(this.random.between(100, 600));
    }
  }

  /**
   * The primary database is lost, and a standby that lags behind takes its place: it does not know who holds a connection
   * whose former holder has died and is back at once.
   */
  async failOver(): Promise<void> {
    const { postgres, recorder } = this.stage;
    this.note('let a standby lag');
    await postgres.addStandby();
    const replicatedUntil = monotonic();
    await postgres.standbyIsLevel();
    postgres.pauseStandby();
    const former = (await this.holder()) ?? this.random.pick(this.stage.agents);
    await former.process?.end('SIGKILL');
    former.process = null;
    await sleep(this.ttlMs * 1.6);
    const heldUntil = (await postgres.time()) + HELD_SECONDS * 1_000;
    let promotedAt = 0;
    await postgres.failOver(() => {
      promotedAt = monotonic();
    });
    recorder.note('fail-over', { replicatedUntil, lostAt: promotedAt, promotedAt, heldUntil });
    await this.stage.startAgent(former);
    await sleep(this.ttlMs * 2);
  }

  /** Lets the hold that follows a fail-over pass, by the database's clock. Needs `canMoveClocks`. */
  async passHold(): Promise<void> {
    this.note('let the hold pass');
    await this.stepForward(HELD_SECONDS + 60);
    // They wait as long as they were told to, by a clock that nobody can move.
    for (const agent of this.stage.agents) {
      await agent.process?.end('SIGKILL');
      agent.process = null;
      await this.stage.startAgent(agent);
    }
  }

  /**
   * Pauses one holder after the other, each until somebody else has worked with a later token, until an act that was on
   * its way has landed after that: what fencing is for. @returns whether one has
   */
  async provokeStaleAct(): Promise<boolean> {
    for (let pauses = 0; pauses < MOST_PAUSES; pauses += 1) {
      const [stale] = await this.staleActs();
      if (stale !== undefined) return true;
      this.note('pause a holder until another has followed');
      const before = await this.latest();
      const agent = this.stage.agents.find(({ proxy }) => proxy.nodeId === before?.nodeId);
      if (before === undefined || agent === undefined) continue;
      agent.process?.signal('SIGSTOP');
      const deadline = performance.now() + this.ttlMs * 3;
      while (performance.now() < deadline) {
        const now = await this.latest(before.connectionId);
        if (now !== undefined && now.token > before.token && now.nodeId !== before.nodeId) break;
        await sleep(50);
      }
      agent.process?.signal('SIGCONT');
      await this.untilStaleAct();
    }
    return (await this.staleActs()).length > 0;
  }

  /** What a holder does late it does at once when it goes on, or not at all. */
  private async untilStaleAct(): Promise<void> {
    const deadline = performance.now() + LATE_ACT_MS;
    while (performance.now() < deadline && (await this.staleActs()).length === 0) await this.stage.tick();
  }

  private async staleActs(): Promise<DriverAct[]> {
    const acts = [...(await this.stage.acts()).values()];
    return acts.flatMap((each) => refusedActs(each, new FencedResource()));
  }

  /** The last work of whoever holds a connection; of this one, or of any. */
  private async latest(connectionId?: string): Promise<DriverAct | undefined> {
    const acts = await this.stage.acts();
    const concerned = connectionId === undefined ? [...acts.values()].flat() : (acts.get(connectionId) ?? []);
    return concerned
      .filter(({ act }) => act === 'work')
      .sort((one, other) => other.time - one.time)
      .at(0);
  }

  private fault(name: string, play: () => Promise<void>): Fault {
    return {
      name,
      play: async () => {
        this.note(name);
        await play();
        this.note(`over: ${name}`);
      },
    };
  }

  private note(deed: string): void {
    this.stage.recorder.note(deed);
  }

  private async killAgent(): Promise<void> {
    const agent = this.random.pick(this.stage.agents);
    await agent.process?.end('SIGKILL');
    agent.process = null;
    await sleep(this.random.between(0, this.ttlMs));
    await this.stage.startAgent(agent);
  }

  /** Long enough for another to take over while an act of its driver is on its way. */
  private async pauseHolder(): Promise<void> {
    const holder = (await this.holder()) ?? this.random.pick(this.stage.agents);
    holder.process?.signal('SIGSTOP');
    await sleep(this.ttlMs * 1.6);
    holder.process?.signal('SIGCONT');
  }

  private async holder(): Promise<StagedAgent | null> {
    const connectionId = this.random.pick(this.stage.connectionIds);
    const path = `/clusters/${this.stage.clusterId}/vpn-connections/${connectionId}/lease`;
    const { body } = await this.stage.api.get(path);
    return this.stage.agents.find(({ proxy }) => proxy.nodeId === body?.ownerNodeId) ?? null;
  }

  private async cutOff(): Promise<void> {
    const { proxy } = this.random.pick(this.stage.agents);
    proxy.cut();
    await sleep(this.random.between(500, this.ttlMs * 1.5));
    proxy.weather = FAIR_WEATHER;
  }

  private async badWeather(): Promise<void> {
    for (const { proxy } of this.stage.agents)
      proxy.weather = { delayMs: this.random.between(50, 800), lostShare: 0.25, isCut: false };
    await sleep(this.random.between(1_000, this.ttlMs));
    for (const { proxy } of this.stage.agents) proxy.weather = FAIR_WEATHER;
  }

  private instance(): StagedService {
    return this.random.pick(this.stage.services.filter(({ name }) => name !== 'worker'));
  }

  private worker(): StagedService {
    return this.random.pick(this.stage.services.filter(({ name }) => name === 'worker'));
  }

  private async killService(service: StagedService): Promise<void> {
    await service.process?.end('SIGKILL');
    service.process = null;
    await sleep(this.random.between(0, 1_000));
    await this.stage.startService(service);
  }

  private async pauseService(service: StagedService): Promise<void> {
    const pid = service.process?.pid;
    if (pid === undefined) return;
    process.kill(pid, 'SIGSTOP');
    await sleep(this.random.between(500, this.ttlMs));
    process.kill(pid, 'SIGCONT');
  }

  private async killDatabase(): Promise<void> {
    await this.stage.postgres.kill();
    await sleep(this.random.between(0, 1_000));
    await this.stage.postgres.restart();
  }

  private async pauseDatabase(): Promise<void> {
    this.stage.postgres.pause();
    await sleep(this.random.between(500, this.ttlMs));
    this.stage.postgres.proceed();
  }

  private async killRedis(): Promise<void> {
    await this.stage.redis?.kill();
    await sleep(this.random.between(0, 1_000));
    await this.stage.redis?.restart();
  }

  private async fence(): Promise<void> {
    const { stage } = this;
    const connectionId = this.random.pick(stage.connectionIds);
    const complete = stage.recorder.invoke(stage.newProcess(), 'fence', connectionId, {});
    const path = `/clusters/${stage.clusterId}/vpn-connections/${connectionId}/lease/fence`;
    try {
      const { status, body } = await stage.api.post(path, { reason: 'The nemesis wants it.' });
      if (status !== 200) return complete(status < 500 ? 'fail' : 'info', { code: String(body?.code) });
      const { lease, nextTokenAbove: above, serverTime } = body;
      complete('ok', { ended: lease?.fencingToken ?? null, above, serverTime: Date.parse(serverTime) });
    } catch (error) {
      complete('info', {}, (error as Error).message);
    }
  }

  /** The role of an agent is disabled for a while: whatever it holds ends with it. */
  private async takeRole(): Promise<void> {
    const { stage } = this;
    const { nodeId } = this.random.pick(stage.agents).proxy;
    const roles = `/clusters/${stage.clusterId}/role-assignments`;
    const found = await stage.api.get(`${roles}?nodeId=${nodeId}&role=vpn-exit`).catch(() => null);
    const assignmentId = found?.body?.items?.[0]?.id;
    if (assignmentId === undefined) return;
    const completions = stage.connectionIds.map((connectionId) =>
      stage.recorder.invoke(stage.newProcess(), 'revoke', connectionId, { nodeId }),
    );
    const answer = await stage.api.post(`${roles}/${assignmentId}/disable`).catch(() => null);
    const outcome = answer === null || answer.status >= 500 ? 'info' : answer.status < 300 ? 'ok' : 'fail';
    for (const complete of completions) complete(outcome, {});
    await sleep(this.random.between(0, this.ttlMs));
    await this.untilDone(() => stage.api.post(`${roles}/${assignmentId}/enable`));
  }

  /** What sets things right again has to get through. */
  private async untilDone(call: () => Promise<{ status: number }>): Promise<void> {
    for (;;) {
      const answer = await call().catch(() => null);
      if (answer !== null && answer.status < 300) return;
      await sleep(200);
    }
  }

  private async skewAgent(): Promise<void> {
    const agent = this.random.pick(this.stage.agents);
    await agent.process?.end('SIGTERM');
    agent.process = null;
    await this.stage.startAgent(agent, Math.round(this.random.between(-3_600, 3_600)));
  }

  /** Sets it and puts it right again: either way one of the two is a step forward. */
  private async setClock(seconds: number): Promise<void> {
    if (seconds > 0) await this.stepForward(seconds);
    else await this.stage.postgres.setClock(seconds);
    await sleep(this.random.between(500, this.ttlMs));
    if (seconds > 0) await this.stage.postgres.setClock(0);
    else await this.stepForward(0);
  }

  /**
   * Holders cannot know of the step until they renew; what they were promised before it ends within a lifetime. Time that
   * stood still after a step back jumps, too, when the clock is put right.
   * @param offset  from the right time, in seconds
   */
  private async stepForward(offset: number): Promise<void> {
    const from = monotonic();
    await this.stage.postgres.setClock(offset);
    this.forwardSteps.push({ from, to: monotonic() + this.ttlMs * 1e6 });
  }
}

function monotonic(): number {
  return Number(process.hrtime.bigint());
}
