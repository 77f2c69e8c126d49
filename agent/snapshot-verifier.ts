import { compactVerify, decodeProtectedHeader, importJWK, type JWK } from 'jose';
import { parseSnapshot, SNAPSHOT_SCHEMA, type Snapshot } from './snapshot.js';

/** Why a snapshot is not accepted; the reasons appear in the log event `snapshot.refused`. */
export type SnapshotRefusal =
  | 'malformed'
  | 'wrong_algorithm'
  | 'wrong_type'
  | 'unknown_key'
  | 'bad_signature'
  | 'wrong_schema'
  | 'wrong_cluster'
  | 'wrong_node'
  | 'term_too_low'
  | 'generation_too_low'
  | 'issued_before_held'
  | 'expired';

export type SnapshotVerdict =
  /** `keys`: by which the next snapshots are to be checked. */
  { accepted: true; snapshot: Snapshot; keys: readonly JWK[] } | { accepted: false; reason: SnapshotRefusal };

/** What a snapshot is measured against. */
export interface SnapshotExpectation {
  clusterId: string;
  nodeId: string;
  /** The cluster's snapshot keys as public JWKs; one counts only under its own `kid`. */
  keys: readonly JWK[];
  /** The one accepted last; null when there is none. */
  held: Pick<Snapshot, 'authorityTerm' | 'generation' | 'issuedAt'> | null;
  /** Null: do not look at `expiresAt`; for one that was accepted earlier and is read back from disk. */
  now: Date | null;
}

/** Decides whether a compact JWS is a snapshot that this node may act on. Pure: no clock, disk or network. */
export async function verifySnapshot(jws: string, expected: SnapshotExpectation): Promise<SnapshotVerdict> {
  const signed = await verifySignature(jws, expected.keys);
  if (typeof signed === 'string') return refused(signed);
  const payload = parseJson(signed.payload);
  if (payload === null) return refused('malformed');
  if (payload.schema !== SNAPSHOT_SCHEMA) return refused('wrong_schema');
  const snapshot = parseSnapshot(payload);
  if (snapshot === null) return refused('malformed');
  const reason = audienceRefusal(snapshot, expected) ?? orderRefusal(snapshot, expected.held);
  if (reason !== null) return refused(reason);
  if (expected.now !== null && Date.parse(snapshot.expiresAt) <= expected.now.getTime()) {
    return refused('expired');
  }
  return { accepted: true, snapshot, keys: nextKeys(snapshot, signed.kid, expected.keys) };
}

/** What a snapshot announces; an announcement without the key that signed it is a mistake, and is passed over. */
function nextKeys({ snapshotKeys }: Snapshot, signedBy: string, believed: readonly JWK[]): readonly JWK[] {
  return snapshotKeys.some(({ kid }) => kid === signedBy) ? snapshotKeys : believed;
}

async function verifySignature(
  jws: string,
  keys: readonly JWK[],
): Promise<{ payload: Uint8Array; kid: string } | SnapshotRefusal> {
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    header = decodeProtectedHeader(jws);
  } catch {
    return 'malformed';
  }
  if (header.alg !== 'EdDSA') return 'wrong_algorithm';
  if (header.typ !== 'rap-snapshot+jws') return 'wrong_type';
  // A key that came inside the header (jwk, x5c) is never looked at.
  const jwk = keys.find((key) => key.kid !== undefined && key.kid === header.kid);
  if (jwk?.kid === undefined || jwk.kty !== 'OKP' || jwk.crv !== 'Ed25519') return 'unknown_key';
  try {
    const key = await importJWK({ kty: jwk.kty, crv: jwk.crv, x: jwk.x }, 'EdDSA');
    return { payload: (await compactVerify(jws, key, { algorithms: ['EdDSA'] })).payload, kid: jwk.kid };
  } catch {
    return 'bad_signature';
  }
}

function audienceRefusal(snapshot: Snapshot, expected: SnapshotExpectation): SnapshotRefusal | null {
  if (snapshot.clusterId !== expected.clusterId) return 'wrong_cluster';
  return snapshot.nodeId === expected.nodeId ? null : 'wrong_node';
}

/**
 * Term first, then generation, then time of issue. A lower generation is accepted under a higher term only:
 * the term rises when the control plane was restored or promoted from an older state, and a node that
 * insisted on its generation would then be stranded. A replayed old snapshot carries the old term.
 */
function orderRefusal(snapshot: Snapshot, held: SnapshotExpectation['held']): SnapshotRefusal | null {
  if (held === null || snapshot.authorityTerm > held.authorityTerm) return null;
  if (snapshot.authorityTerm < held.authorityTerm) return 'term_too_low';
  if (snapshot.generation < held.generation) return 'generation_too_low';
  const isOlder = Date.parse(snapshot.issuedAt) < Date.parse(held.issuedAt);
  return snapshot.generation === held.generation && isOlder ? 'issued_before_held' : null;
}

function parseJson(payload: Uint8Array): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function refused(reason: SnapshotRefusal): SnapshotVerdict {
  return { accepted: false, reason };
}
