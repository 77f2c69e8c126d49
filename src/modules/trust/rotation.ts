import type { AuditEvent } from '../../common/audit/audit-event.js';
import { conflict } from '../../common/errors/domain-error.js';
import type { KeyPhase } from '../clusters/cluster-key-store.js';

export const ROTATION_KINDS = ['ca', 'snapshot_key'] as const;
/** What is rotated: the certificate authority, or the key by which snapshots are signed. */
export type RotationKind = (typeof ROTATION_KINDS)[number];

export const ROTATION_PHASES = ['prepare', 'activate', 'taint', 'retire'] as const;
/** `prepare`: the new key is published, the old one signs. `activate`: the new one signs, the old one is trusted.
 *  `taint`: what the old one signed is to be replaced now. `retire`: the old one is not trusted any more; finished. */
export type RotationPhase = (typeof ROTATION_PHASES)[number];

/** A rotation goes through its phases in this order, and never back. */
export const NEXT_ROTATION_PHASE: Record<RotationPhase, readonly RotationPhase[]> = {
  prepare: ['activate'],
  activate: ['taint'],
  taint: ['retire'],
  retire: [],
};

/** The change of a key of a cluster, with overlap. */
export interface Rotation {
  id: string;
  clusterId: string;
  kind: RotationKind;
  phase: RotationPhase;
  oldKid: string;
  newKid: string;
  startedByType: string;
  startedById: string | null;
  preparedAt: Date;
  activatedAt: Date | null;
  taintedAt: Date | null;
  retiredAt: Date | null;
  overrideReason: string | null;
  /** The base of the generation that first held a new snapshot key; null for an authority. */
  announcedBase: number | null;
}

/** How many of the live nodes hold what the rotation published. */
export interface Acknowledgement {
  liveNodes: number;
  acknowledged: number;
}

/** A live node that lacks what a rotation published. */
export interface WaitingNode {
  nodeId: string;
  name: string;
  lastSeenAt: Date | null;
}

/** Who holds what the cluster publishes now, with the first of those that do not. */
export interface Spread extends Acknowledgement {
  waiting: readonly WaitingNode[];
}

declare module '../../common/audit/audit-event.js' {
  interface AuditActions {
    'trust_rotation.started': {
      before: null;
      after: { kind: RotationKind; phase: RotationPhase; oldKid: string; newKid: string };
    };
    'trust_rotation.advanced': {
      before: { kind: RotationKind; phase: RotationPhase };
      after: { phase: RotationPhase; notAcknowledged: number; overridden: boolean };
    };
  }
}

/** The phase that comes next. @throws conflict `rotation_finished` */
export function nextPhase({ phase }: Pick<Rotation, 'phase'>): RotationPhase {
  const [next] = NEXT_ROTATION_PHASE[phase];
  if (next === undefined)
    throw conflict('rotation_finished', 'The rotation is finished: the old key is retired.');
  return next;
}

/** The phases that the two keys get when the rotation enters `phase`; the old one first, since only one is active. */
export function keyPhases(phase: RotationPhase): { old: KeyPhase; new: KeyPhase } {
  const phases: Record<RotationPhase, { old: KeyPhase; new: KeyPhase }> = {
    prepare: { old: 'active', new: 'prepared' },
    activate: { old: 'superseded', new: 'active' },
    taint: { old: 'tainted', new: 'active' },
    retire: { old: 'retired', new: 'active' },
  };
  return phases[phase];
}

/** Whether entering `phase` goes over live nodes that lack what is new; they would trust nobody any more.
 *  @throws conflict `bundle_not_acknowledged` without an override */
export function overridesNodes(
  phase: RotationPhase,
  { liveNodes, acknowledged, waiting }: Spread,
  override: { reason: string } | undefined,
): boolean {
  const missing = liveNodes - acknowledged;
  if (phase !== 'retire' || missing === 0) return false;
  if (override !== undefined) return true;
  const names = waiting.map(({ nodeId, name }) => ({ nodeId, name }));
  throw conflict(
    'bundle_not_acknowledged',
    `${missing} of ${liveNodes} live nodes have not said that they hold what replaces it.`,
    { extensions: { liveNodes, acknowledged, waiting: names } },
  );
}

const about = ({ id, clusterId, kind }: Rotation) => ({
  resource: { type: 'trust_rotation', id, name: kind },
  clusterId,
  outcome: 'success' as const,
});

export function rotationStarted(rotation: Rotation): AuditEvent {
  const { kind, phase, oldKid, newKid } = rotation;
  return {
    action: 'trust_rotation.started',
    ...about(rotation),
    reason: null,
    before: null,
    after: { kind, phase, oldKid, newKid },
  };
}

/** @param before the rotation before it advanced; @param reason the override's, where nodes were gone over */
export function rotationAdvanced(
  before: Rotation,
  phase: RotationPhase,
  { liveNodes, acknowledged }: Acknowledgement,
  reason: string | null,
): AuditEvent {
  return {
    action: 'trust_rotation.advanced',
    ...about(before),
    reason,
    before: { kind: before.kind, phase: before.phase },
    after: { phase, notAcknowledged: liveNodes - acknowledged, overridden: reason !== null },
  };
}
