import { Injectable } from '@nestjs/common';
import type { AuditEvent } from '../../common/audit/audit-event.js';
import type { Tx } from '../../common/transaction/tx.js';
import {
  type EmergencyEnd,
  type EmergencyPin,
  emergencyPinActivated,
  emergencyPinEnded,
} from './emergency-pin.js';
import { EmergencyPinsRepository } from './emergency-pins.repository.js';
import type { RolloutState } from './engine/rollout-state.js';

/** Begins and ends emergency pins with what becomes of their rollouts, in the same transaction. */
@Injectable()
export class EmergencyPinEnds {
  constructor(private readonly pins: EmergencyPinsRepository) {}

  /** It decides about nobody any more; at its instant, where that has passed. null: it was over. */
  async end(
    tx: Tx,
    pin: EmergencyPin,
    because: EmergencyEnd,
    reason: string | null,
  ): Promise<AuditEvent | null> {
    if (pin.endedAt !== null) return null;
    const at = because === 'expired' ? pin.expiresAt : tx.now;
    await this.pins.end(tx, pin, at, because, reason);
    return emergencyPinEnded(pin, because, reason);
  }

  /** Its rollout enters a state. A block ends it even where its nodes cannot go back. */
  async follow(tx: Tx, rolloutId: string, to: RolloutState, rule: string): Promise<void> {
    const pin = await this.pins.ofRollout(tx, rolloutId);
    if (pin === null) return;
    if (to === 'running' && pin.activatedAt === null) {
      await this.pins.activate(tx, pin);
      tx.audit(emergencyPinActivated(pin));
      return;
    }
    const because = becauseOf(to, rule);
    const event = because === null ? null : await this.end(tx, pin, because, null);
    if (event !== null) tx.audit(event);
  }
}

function becauseOf(to: RolloutState, rule: string): EmergencyEnd | null {
  if (rule === 'version_blocked') return 'blocked';
  if (to === 'rolling_back') return 'rolled_back';
  return to === 'cancelled' ? 'lifted' : null;
}
