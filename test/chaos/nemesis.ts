import { setTimeout as sleep } from 'node:timers/promises';
import { canMoveClocks } from './chaos-postgres.js';
import type { ChaosStage, StagedAgent, StagedService } from './chaos-stage.js';
import type { Stretch } from './checker/driver-acts.js';
import { FAIR_WEATHER } from './lease-proxy.js';
import type { Random } from './random.js';

/** Something that was done to the system, for the record. */
export interface Deed {
  /** Nanoseconds of the machine's monotonic clock. */
  time: number;
  deed: string;
}

interface Fault {
  name: string;
  /** Does it, waits, and undoes it. */
  play: () => Promise<void>;
}

/** Kills, pauses, delays, loses, and sets clocks, as its seed decides; it undoes each thing before the next. */
export class Nemesis {
  readonly deeds: Deed[] = [];
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
      this.fault('kill an instance', () => this.killService()),
      this.fault('pause an instance', () => this.pauseService()),
      this.fault('kill the database', () => this.killDatabase()),
      this.fault('pause the database', () => this.pauseDatabase()),
      this.fault('fence a connection', () => this.fence()),
      this.fault('take a role away', () => this.takeRole()),
      ...(stage.redis === null ? [] : [this.fault('kill Redis', () => this.killRedis())]),
      ...(canMoveClocks
        ? [
            this.fault("skew an agent's clock", () => this.skewAgent()),
            this.fault("set the database's clock back", () => this.setClock(-20)),
            this.fault("set the database's clock forward", () => this.setClock(20)),
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
    let left: Fault[] = [];
    while (performance.now() < deadline) {
      if (left.length === 0) left = [...this.faults];
      const fault = this.random.pick(left);
      left = left.filter((each) => each !== fault);
      await fault.play();
      await sleep(this.random.between(100, 600));
    }
  }

  /** The primary database is lost, and a standby that lags behind takes its place. */
  async failOver(): Promise<void> {
    const { postgres } = this.stage;
    await postgres.addStandby();
    postgres.pauseStandby();
    await sleep(this.ttlMs / 2);
    this.note('fail over to a standby that lags');
    await postgres.failOver();
    // Each process compares the server with the one that it knew when it starts.
    for (const service of this.stage.services) {
      await service.process?.end('SIGKILL');
      service.process = null;
    }
    for (const service of this.stage.services) await this.stage.startService(service);
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
    this.deeds.push({ time: Number(process.hrtime.bigint()), deed });
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

  private async killService(): Promise<void> {
    const service = this.random.pick(this.stage.services);
    await service.process?.end('SIGKILL');
    service.process = null;
    await sleep(this.random.between(0, 1_000));
    await this.stage.startService(service);
  }

  private async pauseService(): Promise<void> {
    const service: StagedService = this.random.pick(this.stage.services);
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

  private async setClock(seconds: number): Promise<void> {
    const from = Number(process.hrtime.bigint());
    await this.stage.postgres.setClock(seconds);
    await sleep(this.random.between(500, this.ttlMs));
    await this.stage.postgres.setClock(0);
    const stretchNs = (this.ttlMs + Math.abs(seconds) * 1_000) * 1e6;
    if (seconds > 0) this.forwardSteps.push({ from, to: Number(process.hrtime.bigint()) + stretchNs });
  }
}
