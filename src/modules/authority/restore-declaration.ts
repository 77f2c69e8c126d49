import { Injectable } from '@nestjs/common';
import { jumpPositions } from '../../common/changes/other-server.sql.js';
import { sql } from '../../common/database/sql.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { RaisedTerm } from './term.js';
import { TermsService } from './terms.service.js';

/** What a declaration has led to in one cluster. */
export type DeclaredCluster = RaisedTerm & { slug: string; takeoversHeldUntil: Date };

/**
 * Takes an operator's word that the database was restored in place. A volume that was put back changes neither the
 * identifier nor the timeline of the server, so that nothing here can notice it.
 */
@Injectable()
export class RestoreDeclaration {
  constructor(
    private readonly transactor: Transactor,
    private readonly terms: TermsService,
  ) {}

  /** Does what a detected restore leads to: once for each call, since nobody can tell whether it was said before. */
  declare(actor: Actor, reason: string): Promise<DeclaredCluster[]> {
    return this.transactor.observe(actor, async (tx) => {
      await tx.query(sql`
        SELECT set_config('statement_timeout', '0', true) AS s, set_config('lock_timeout', '60s', true) AS l`);
      await jumpPositions(tx);
      const { raised, events } = await this.terms.raise(tx, 'all', { cause: 'restore_declared', reason });
      const clusters = await tx.query<{ id: string; slug: string; takeoversHeldUntil: Date }>(sql`
        SELECT c.id, c.slug, a.takeovers_held_until AS "takeoversHeldUntil"
          FROM clusters AS c JOIN cluster_authorities AS a ON a.cluster_id = c.id ORDER BY c.slug`);
      const result = clusters.flatMap(({ id, ...cluster }) =>
        raised.filter(({ clusterId }) => clusterId === id).map((term) => ({ ...term, ...cluster })),
      );
      return { result, events };
    });
  }
}
