import { fieldsOf, textField } from '../answer-fields.js';
import { ApiRefusal } from '../api-errors.js';
import { rotationProof } from '../assertions.js';
import type { NodeKey } from '../keys.js';
import { afterFailure, type LoopContext } from '../loop.js';
import type { NodeApi } from '../node-api.js';
import type { ServerClock } from '../server-clock.js';
import type { StateStore } from '../state-store.js';
import { pause } from '../waiting.js';
import type { IdentityKeys } from './identity-keys.js';
import { rotationDueAt } from './rotation-plan.js';
import type { RotationRequests } from './rotation-requests.js';

/** How often a running agent looks for a request: one stat, and an operator is waiting. */
const LOOK_MS = 1_000;
/** Answers that no repeat will change; after any other one the same rotation is asked for again. */
const FINAL: readonly string[] = [
  'key_already_enrolled',
  'identity_already_rotated',
  'cluster_archived',
  'invalid_request',
];

/** Whose key it is, and whom the proof is for. */
export interface RotatingNode {
  nodeId: string;
  clusterId: string;
  audience: string;
}

/**
 * Replaces the node's identity key when somebody asks for it or its time has come. Each step is on disk before the next:
 * the new key, that it is to take the place of the old one, and that it has. Cut short anywhere, the rotation is asked
 * for again with the same keys, which the control plane answers as it did before; when it answers the old key no more,
 * the token source finds that the new one counts.
 */
export class KeyRotation {
  constructor(
    private readonly api: NodeApi,
    private readonly node: RotatingNode,
    private readonly keys: IdentityKeys,
    private readonly requests: RotationRequests,
    private readonly store: StateStore,
    private readonly clock: ServerClock,
    private readonly context: LoopContext,
    private readonly maxAgeDays: number | null,
  ) {}

  /** Rotates when asked to, until stopped. @throws IdentityRefused */
  async run(): Promise<void> {
    const { stop } = this.context;
    for (let failures = 0; !stop.aborted; ) {
      let waitMs = LOOK_MS;
      try {
        await this.round();
        failures = 0;
      } catch (error) {
        waitMs = afterFailure(error, 'key.rotation_failed', failures, this.context);
        failures += 1;
      }
      await pause(waitMs, stop);
    }
  }

  /** Rotates once, whatever answers are lost on the way. False: stopped before the end. @throws IdentityRefused */
  async finish(): Promise<boolean> {
    const { stop } = this.context;
    for (let failures = 0; !stop.aborted; failures += 1) {
      try {
        await this.round();
        return true;
      } catch (error) {
        await pause(afterFailure(error, 'key.rotation_failed', failures, this.context), stop);
      }
    }
    return false;
  }

  /** Looks whether there is a rotation to go on with or to begin, and takes it to its end. */
  private async round(): Promise<void> {
    const wish = await this.wish();
    const next = this.keys.pending ?? (wish === null ? null : await this.keys.prepare(wish.requestId));
    if (next === null) return;
    await this.ask(next);
    await this.wish(); // takes the request away
  }

  /** A rotation that is to begin; null when there is no reason. A request that was fulfilled is taken away. */
  private async wish(): Promise<{ requestId: string | null } | null> {
    const requestId = await this.requests.find();
    if (requestId === null && this.maxAgeDays === null) return null;
    const state = await this.store.readState();
    if (requestId !== null && state?.lastRotation?.requestId !== requestId) return { requestId };
    if (requestId !== null) await this.requests.clear();
    const dueAt = state === null ? null : rotationDueAt(state, this.maxAgeDays);
    return dueAt !== null && dueAt <= this.clock.now() ? { requestId: null } : null;
  }

  private async ask(next: NodeKey): Promise<void> {
    const { current } = this.keys;
    const proof = await rotationProof({ current, next }, { ...this.node, now: this.clock.now() });
    const sentAt = Date.now();
    try {
      const json = { newPublicKey: next.publicJwk, proof };
      const { body } = await this.api.send({ method: 'POST', path: '/identity/rotate', json });
      const known = textField(fieldsOf(body, 'body'), 'keyThumbprint');
      if (known !== next.thumbprint) throw new Error(`the control plane answers with another key: ${known}`);
      await this.keys.adopt(next);
    } catch (error) {
      if (!(error instanceof ApiRefusal) || this.keys.pending === null) throw error;
      if (error.serverTime !== null) this.clock.observe(error.serverTime, { sentAt, receivedAt: Date.now() });
      if (!FINAL.includes(error.code ?? '')) throw error;
      await this.keys.abandon(error.message);
    }
  }
}
