import { Injectable } from '@nestjs/common';
import type { Tx } from './tx.js';

/** Base of the typed events that a lower module raises and upper ones subscribe to. */
export abstract class TxEvent {
  // Keeps two event classes of the same shape apart for the type checker.
  protected readonly isTxEvent = true;
}

type EventClass<E extends TxEvent> = abstract new (...args: never[]) => E;
type Handler = (tx: Tx, event: never) => Promise<void>;

/** Who listens to which event. Handlers run one after the other, inside the transaction, before the commit. */
@Injectable()
export class TxEvents {
  private readonly handlers = new Map<unknown, Handler[]>();

  on<E extends TxEvent>(kind: EventClass<E>, handler: (tx: Tx, event: E) => Promise<void>): void {
    const known = this.handlers.get(kind) ?? [];
    this.handlers.set(kind, [...known, handler as Handler]);
  }

  async dispatch(tx: Tx, event: TxEvent): Promise<void> {
    for (const handler of this.handlers.get(event.constructor) ?? []) await handler(tx, event as never);
  }
}
