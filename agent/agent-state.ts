import type { JWK } from 'jose';
import type { ClockAnchor } from './server-clock.js';

/** What the operator asked for on the command line of `enroll`, kept so that `run` can repeat it. */
export interface JoinWish {
  nodeName: string;
  /** The cluster that is meant: a token of another one is refused. Absent: that of the token. */
  clusterId?: string;
  requestedRoles: string[];
  /** False: only `capabilities` are reported, nothing is discovered. */
  discover: boolean;
  capabilities: string[];
  facts: Record<string, string | number>;
}

/** How far the enrollment has come. */
export type EnrollmentState =
  /** About to ask, or asked and the answer was lost; the token is needed to ask again. */
  | { status: 'requesting'; token: string }
  | { status: 'pending'; joinRequestId: string; clusterId: string; pollAfterSeconds: number }
  | { status: 'declined'; outcome: 'rejected' | 'expired' | 'cancelled'; reason: string | null }
  | {
      status: 'enrolled';
      nodeId: string;
      clusterId: string;
      enrolledAt: string;
      /** Keys that may sign this node's snapshots: delivered with the approval, later from the trust endpoint. */
      snapshotKeys: JWK[];
    };

/** A change of the identity key that has begun; whichever key the control plane knows, the node has it. */
export interface PendingRotation {
  /** Which file under `keys/` is to become the node's identity. */
  keyThumbprint: string;
  startedAt: string;
  /** Who asked for it with `rotate-key`; null when its time had come. */
  requestId: string | null;
}

/** How the last change of the identity key ended. */
export interface FinishedRotation {
  outcome: 'rotated' | 'failed';
  at: string;
  requestId: string | null;
  /** Why it failed. */
  detail: string | null;
}

/** The whole of `state.json`. */
export interface AgentState {
  version: 1;
  /** The service as named by `--url`, without trailing slash; also the audience of proofs and assertions. */
  baseUrl: string;
  /** Which file under `keys/` is this node's identity. */
  keyThumbprint: string;
  /** base64url(SHA-256) of the join token: tells a repeat from a new attempt without keeping the token. */
  tokenHash: string;
  wish: JoinWish;
  enrollment: EnrollmentState;
  /** Set when the control plane ended this identity; null otherwise. */
  refused: { at: string; reason: string } | null;
  rotation: PendingRotation | null;
  lastRotation: FinishedRotation | null;
}

/** The last good snapshot as received; verified again whenever it is read. */
export interface StoredSnapshot {
  jws: string;
  etag: string | null;
  receivedAt: string;
}

/** Written after each heartbeat, for `status` and for the time by which the agent goes on after a restart. */
export interface Contact {
  lastContactAt: string;
  clockOffsetMs: number;
  /** Absent in a file that an older agent has written. */
  anchor?: ClockAnchor;
}
