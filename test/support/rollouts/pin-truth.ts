import { expectThat } from './broken-invariant.js';
import { HOTFIX } from './host.js';
import type { LogRow, NodePinRow, PinRow } from './rollout-log.js';
import type { Setup } from './world.js';

/** An emergency pin as it was asked for and answered. */
export interface MadeEmergency {
  id: string;
  rolloutId: string;
  version: string;
  nodeIds: ReadonlySet<string>;
  maxUnavailable: number;
  /** Milliseconds; exclusive. */
  expiresAt: number;
}

type Of<K extends LogRow['kind']> = Extract<LogRow, { kind: K }>;
interface KnownRollout {
  kind: 'staged' | 'pin' | 'emergency';
  target: string;
  isUnfinished: boolean;
}

const BEGINS = ['offered', 'granted'];
const FINISHED = [
  'draft',
  'succeeded',
  'succeeded_with_deferred',
  'rolled_back',
  'rollback_stalled',
  'cancelled',
];

/**
 * Which pins hold at each moment, told by what was asked for and by the order in which it was written down, and whether
 * what was begun was theirs to begin. Nothing here asks the service.
 */
export class PinTruth {
  private readonly rollouts = new Map<string, KnownRollout>();
  private readonly made = new Map<string, MadeEmergency>();
  private readonly active = new Set<string>();
  private readonly pins = new Map<string, { version: string; expiresAt: number | null }>();
  /** How many nodes could be out of service when these were let go, by assignment. */
  private readonly limits = new Map<string, number>();
  private readonly outs: (readonly string[])[] = [];
  private readonly blocked = new Set<string>();
  /** What was offered while it was blocked may be finished when it is not. */
  private readonly wasBlocked = new Set<string>();
  /** Ways that were begun to get away from a blocked version. */
  private readonly leaving = new Set<string>();

  constructor(
    private readonly clusterId: string,
    private readonly productId: string,
    private readonly setup: Setup,
    private readonly platforms: ReadonlyMap<string, string>,
  ) {}

  /** Whether the way was begun to get away from a blocked version, which comes before any pin. */
  isLeaving(assignmentId: string): boolean {
    return this.leaving.has(assignmentId);
  }

  /** It was answered that it was made. */
  add(emergency: MadeEmergency): void {
    this.made.set(emergency.id, emergency);
  }

  isBlocked(version: string): boolean {
    return this.blocked.has(version);
  }

  /** These are out of service at once, by assignment. */
  out(assignmentIds: readonly string[]): void {
    this.outs.push(assignmentIds);
  }

  /** @param rows of whole transactions */
  follow(rows: readonly (LogRow | PinRow)[]): void {
    // What was unblocked among these was blocked for some of them.
    const unblocked = rows.flatMap((row) => (row.kind === 'block' && !row.row.isBlocked ? [row.row] : []));
    for (const row of rows) this.see(row);
    for (const { productId, version } of unblocked) this.unblock(productId, version);
    for (const out of this.outs.splice(0)) this.notTooMany(out);
    for (const xid of new Set(rows.map((row) => row.xid))) this.told(rows.filter((row) => row.xid === xid));
  }

  /** The version to which an emergency pin, else a pin of its own, holds the node at that moment. */
  heldTo(nodeId: string, at: number): { rule: 2 | 3; version: string; rolloutId: string | null } | null {
    const emergency = [...this.made.values()].find(
      ({ id, nodeIds, expiresAt }) => this.active.has(id) && nodeIds.has(nodeId) && at < expiresAt,
    );
    if (emergency !== undefined)
      return { rule: 2, version: emergency.version, rolloutId: emergency.rolloutId };
    const pin = this.pins.get(nodeId);
    if (pin === undefined || (pin.expiresAt !== null && at >= pin.expiresAt)) return null;
    return { rule: 3, version: pin.version, rolloutId: null };
  }

  private see(row: LogRow | PinRow): void {
    if (row.kind === 'begun') {
      if (row.row.clusterId === this.clusterId)
        this.rollouts.set(row.rolloutId, { ...row.row, isUnfinished: false });
    } else if (row.kind === 'rollout') {
      const known = this.rollouts.get(row.rolloutId);
      if (known !== undefined) known.isUnfinished = !FINISHED.includes(row.row.to);
    } else if (row.kind === 'block') {
      if (row.row.isBlocked && row.row.productId === this.productId) {
        this.blocked.add(row.row.version);
        this.wasBlocked.add(row.row.version);
      }
    } else if (row.kind === 'pin') this.pinned(row.row);
    else if (row.kind === 'emergency') {
      const { id, activated_at, ended_at } = row.row.after;
      if (activated_at !== null && ended_at === null) this.active.add(id);
      else this.active.delete(id);
    } else if (row.kind === 'assignment') this.moved(row);
  }

  private unblock(productId: string, version: string): void {
    if (productId === this.productId) this.blocked.delete(version);
  }

  private pinned({ before, after }: Extract<PinRow, { kind: 'pin' }>['row']): void {
    const nodeId = (after ?? before)?.node_id ?? '';
    if (after === null) this.pins.delete(nodeId);
    else
      this.pins.set(nodeId, {
        version: after.version,
        expiresAt: after.expires_at === null ? null : Date.parse(after.expires_at),
      });
  }

  private moved({ rolloutId, at, row }: Of<'assignment'>): void {
    const rollout = this.rollouts.get(rolloutId);
    const { before, after } = row;
    if (rollout === undefined || before === null || before.state === after.state) return;
    if (!BEGINS.includes(after.state) || before.state === 'lost') return;
    if (after.state === 'granted') this.limits.set(row.id, this.limitOf(rolloutId, rollout, row.direction));
    // Let go, it found that it had to prepare again.
    if (after.state === 'offered' && before.state === 'granted') return;
    this.mayHave(row);
    this.inOrder(rolloutId, rollout, at, row);
  }

  /** I16, whoever has pinned what. What is left out on the way shows where the node is told. */
  private mayHave({ nodeId, isBlocked, after: { toVersion, state } }: Of<'assignment'>['row']): void {
    const what = `${nodeId} was ${state} ${toVersion}`;
    expectThat('I16', !isBlocked, `${what}, which is blocked`);
    expectThat(
      'I16',
      isThere(toVersion, this.platforms.get(nodeId) ?? ''),
      `${what}, which its system has not`,
    );
  }

  /** The first rule that has something to say, and nothing behind it. */
  private inOrder(
    rolloutId: string,
    { kind, target }: KnownRollout,
    at: number,
    { id, nodeId, direction, after }: Of<'assignment'>['row'],
  ): void {
    const held = this.heldTo(nodeId, at);
    const what = `${nodeId} was ${after.state} ${after.toVersion} (${direction}) by a rollout of kind ${kind}`;
    if (direction === 'back' && this.wasBlocked.has(target)) this.leaving.add(id);
    const byItself = direction === 'forward' && kind === 'emergency';
    if (byItself && (held?.rule !== 2 || held.rolloutId !== rolloutId))
      expectThat('rule 2', false, `${what}, and no emergency pin asks for that`);
    if (held === null) return;
    if (held.rule === 2) {
      expectThat('rule 2', held.rolloutId === rolloutId, `${what}, and an emergency pin holds it`);
      return;
    }
    const goal = direction === 'forward' ? target : after.toVersion;
    if (direction === 'back' && this.isBlocked(target)) this.leaving.add(id);
    expectThat(
      'rule 3',
      this.leaving.has(id) || goal === held.version,
      `${what}, and it is pinned to ${held.version}`,
    );
  }

  /** I1 has one number for the product: that of the staged rollout, or that of the pin which leads. */
  private limitOf(
    rolloutId: string,
    { kind, isUnfinished }: KnownRollout,
    direction: 'forward' | 'back',
  ): number {
    const emergency = [...this.made.values()].find((each) => each.rolloutId === rolloutId);
    const own = kind === 'staged' ? this.setup.maxUnavailable : (emergency?.maxUnavailable ?? 1);
    const goesAlone = kind === 'emergency' && (direction === 'forward' || isUnfinished);
    const isBeside = [...this.rollouts.values()].some((each) => each.kind === 'staged' && each.isUnfinished);
    return goesAlone || !isBeside ? own : this.setup.maxUnavailable;
  }

  private notTooMany(out: readonly string[]): void {
    const most = Math.max(...out.map((id) => this.limits.get(id) ?? 0));
    expectThat('I1', out.length <= most, `${out.length} nodes are out of service, and ${most} may be`);
  }

  /** I18: each pin that comes, begins or ends has its one event, and each event something that it tells of. */
  private told(rows: readonly (LogRow | PinRow)[]): void {
    const happened = rows.flatMap(happenedIn);
    const told = rows.flatMap((row) =>
      row.kind === 'pin_audit' && row.row.outcome === 'success' ? [row.row.action] : [],
    );
    // Somebody may set a pin to what it is.
    const isAgain = rows.some((row) => row.kind === 'pin' && isSame(row.row.before, row.row.after));
    if (isAgain && told.length > happened.length) happened.push('version_pin.set');
    const same = JSON.stringify(happened.sort()) === JSON.stringify(told.sort());
    expectThat('I18', same, `happened: ${happened.join('; ')}\ntold: ${told.join('; ')}`);
  }
}

/** Whether there is a file of the version for the system. */
export function isThere(version: string, platform: string): boolean {
  return version !== HOTFIX || platform.startsWith('linux/');
}

function happenedIn(row: LogRow | PinRow): string[] {
  if (row.kind === 'pin') {
    const { before, after } = row.row;
    if (after === null) return ['version_pin.removed'];
    return isSame(before, after) ? [] : ['version_pin.set'];
  }
  if (row.kind !== 'emergency') return [];
  const { before, after } = row.row;
  if (before === null) return ['emergency_pin.created'];
  const isActivated = before.activated_at === null && after.activated_at !== null;
  const isEnded = before.ended_at === null && after.ended_at !== null;
  return [
    ...(isActivated ? ['emergency_pin.activated'] : []),
    ...(isEnded ? [`emergency_pin.${after.ended_because}`] : []),
  ];
}

/** Whatever else it waits for. */
function isSame(before: NodePinRow | null, after: NodePinRow | null): boolean {
  if (before === null || after === null) return false;
  return JSON.stringify({ ...before, leads_later: after.leads_later }) === JSON.stringify(after);
}
