import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import type { Answer, Api } from '../api.js';
import { created } from '../given.js';
import type { TestNode } from '../test-node.js';
import { decodedPayload, type Payload } from '../watching-node.js';
import { expectThat } from './broken-invariant.js';
import { type Doing, type Fate, FLOOR, HOTFIX, Host, NEW, OLD, type Told } from './host.js';

const canonicalJson = canonicalize as unknown as (value: unknown) => string;

/** What a snapshot tells of an update, with the assignment to report about. */
export interface ToldOfAssignment extends Told {
  assignmentId: string;
}

/** Answers by which a report is refused. */
const REFUSED = new Map([
  [401, ['unauthenticated', 'membership_revoked']],
  [404, ['not_found']],
  [409, ['stale_report']],
  [422, ['invalid_transition']],
]);

/** A host with the token of a real node, which polls real snapshots and reports to whichever instance it is told to. */
export class HttpNode {
  readonly host: Host<ToldOfAssignment>;
  /** Somebody has begun to let it go. */
  isGone = false;
  /** Somebody is about to give it up. */
  isBeingWrittenOff = false;
  /** What it does of these assignments under these epochs, or earlier ones, it does as one that was given up. */
  private readonly writtenOff = new Map<string, number>();
  /** What it went out of service for last. */
  disruption: ToldOfAssignment | null = null;
  private etag: string | null = null;
  private readonly contents = new Map<string, string>();
  private last = 0;

  /** @param apis by which it calls, with its own token
   *  @param wanted digest of the file for its platform, by version */
  constructor(
    readonly node: TestNode,
    private readonly apis: readonly Api[],
    private readonly product: string,
    private readonly wanted: ReadonlyMap<string, string>,
    onDisruption: () => void,
  ) {
    this.host = new Host((work) => {
      this.disruption = work;
      onDisruption();
    });
  }

  get id(): string {
    return this.node.nodeId;
  }

  /** Really out of service, and nobody has taken that upon himself. */
  get isDisrupted(): boolean {
    const { assignmentId = '', epoch = 0 } = this.disruption ?? {};
    const isGivenUp = this.isBeingWrittenOff || epoch <= (this.writtenOff.get(assignmentId) ?? 0);
    return this.host.disruptedBy !== null && !this.isGone && !isGivenUp;
  }

  /** Somebody has given it up. */
  writeOff(): void {
    for (const about of [this.disruption, this.host.heard])
      if (about !== null) this.writtenOff.set(about.assignmentId, Math.max(about.epoch, this.host.epoch));
  }

  async beat(at: number): Promise<void> {
    const body = this.node.heartbeat({ agentVersion: this.host.version });
    const answer = await this.api(at).post('/node-agents/me/heartbeat', body);
    if (!this.isGone) created(answer);
  }

  async poll(at: number): Promise<void> {
    const answer = await this.api(at).get('/node-agents/me/snapshot');
    if (this.isGone && answer.status === 401) return;
    this.take(answer);
  }

  /** Waits for news. */
  async wait(seconds: number): Promise<void> {
    const headers: Record<string, string> = this.etag === null ? {} : { 'if-none-match': this.etag };
    const path = `/node-agents/me/snapshot?waitSeconds=${seconds}`;
    const answer = await this.api(0).get(path, undefined, headers);
    if (answer.status !== 304) this.take(answer);
  }

  private take(answer: Answer): void {
    const { jws } = created(answer) as { jws: string };
    this.etag = answer.headers.get('etag');
    const payload = decodedPayload(jws);
    this.numbered(payload);
    const update = payload.updates.find((each: Payload) => each.product === this.product);
    this.host.heard = update === undefined ? null : this.toldBy(update);
  }

  act(fate: Fate, at: number): Promise<void> {
    return this.do(this.host.act(fate), at);
  }

  /** @param begin what it does, report by report */
  async do(doing: Doing<ToldOfAssignment>, at: number): Promise<void> {
    let step = doing.next();
    while (step.done !== true) {
      const { about, report } = step.value;
      const path = `/node-agents/me/updates/${about.assignmentId}/state`;
      step = doing.next(heard(await this.api(at).post(path, report)));
    }
  }

  private api(at: number): Api {
    return this.apis[at % this.apis.length] as Api;
  }

  /** I17: a number stands for one content, and none comes after a higher one. */
  private numbered({ generation, issuedAt: _, expiresAt: __, ...content }: Payload): void {
    const number = `${content.authorityTerm}.${generation}`;
    const digest = createHash('sha256').update(canonicalJson(content)).digest('hex');
    expectThat('I17', generation >= this.last, `${this.id} was told ${generation} after ${this.last}`);
    expectThat('I17', (this.contents.get(number) ?? digest) === digest, `${this.id}: ${number} changed`);
    this.contents.set(number, digest);
    this.last = generation;
  }

  /** I14: what it is told to fetch is made for its platform, and leaves no version out that has to come before. */
  private toldBy({
    assignmentId,
    epoch,
    phase,
    fromVersion,
    toVersion,
    artifact,
  }: Payload): ToldOfAssignment {
    const isOwn = artifact.sha256 === this.wanted.get(toVersion);
    expectThat('I14', isOwn, `${this.id} is to install another platform's ${toVersion}`);
    const comesFromFar = this.host.version === OLD && fromVersion === OLD && this.wanted.has(FLOOR);
    const isAhead = (toVersion === NEW || toVersion === HOTFIX) && comesFromFar;
    expectThat('I14', !isAhead, `${this.id} is to leave out ${FLOOR}`);
    const direction = toVersion === OLD ? 'back' : 'forward';
    return { assignmentId, epoch, phase, toVersion, direction };
  }
}

function heard({ status, body }: Answer): 'accepted' | 'refused' {
  if (status === 200) return 'accepted';
  if (REFUSED.get(status)?.includes(body.code) === true) return 'refused';
  throw new Error(`a report was answered ${status}: ${JSON.stringify(body)}`);
}
