import { Injectable } from '@nestjs/common';
import { Counter } from 'prom-client';
import { Metrics } from './metrics.js';

/** Counts what newer agents say that this version does not understand, so that nobody wonders where it went. */
@Injectable()
export class UnknownMembers {
  private readonly counter: Counter<'operation'>;

  constructor(metrics: Metrics) {
    this.counter = new Counter({
      name: 'fabric_ignored_body_members_total',
      help: 'Body members of node agents that this version does not know and ignored.',
      labelNames: ['operation'],
      registers: [metrics.registry],
    });
  }

  count(operation: string, members: number): void {
    if (members > 0) this.counter.inc({ operation }, members);
  }
}
