import { z } from 'zod';
import { Id, Instant } from '../../common/http/fields.js';

const PartitionSide = z.object({
  side: z
    .enum(['here', 'elsewhere', 'missing'])
    .describe('Nodes that report here, that are said to follow another authority, or that are silent.'),
  authorityTerm: z.int().nullable().describe('The term that it follows; null where that is not known.'),
  authorityHolder: z.string().nullable(),
  nodeCount: z.int().meta({ example: 3 }),
  nodeIds: z.array(Id).describe('The first 100 of them.'),
});

/** A partition that the control plane has found by itself. */
const Partition = z
  .object({
    id: Id,
    kind: z
      .enum(['contradiction', 'quorum_lost'])
      .describe('Reports that cannot be true together, or too few nodes that report.'),
    since: Instant,
    clearedAt: Instant.nullable().describe('When the evidence was gone; null while it lasts.'),
    sides: z.array(PartitionSide),
    evidence: z
      .record(z.string(), z.union([z.string(), z.number(), z.null()]))
      .describe('The figures that decided.')
      .meta({ example: { present: 2, total: 5, minimumPercent: 51, windowSeconds: 300, role: null } }),
  })
  .meta({ id: 'Partition' });

export const AuthorityView = z
  .object({
    state: z.enum(['authoritative', 'degraded', 'partitioned', 'recovering', 'fenced']),
    term: z
      .int()
      .describe('Grows whenever authority is established anew; agents refuse snapshots of an older one.')
      .meta({ example: 1 }),
    holder: z.string().meta({ example: 'control-plane' }),
    since: Instant,
    takeoversHeldUntil: Instant.nullable().describe(
      'Until when no lease goes over to a new owner: after a promotion, a restore or a mass lapse. null: nothing holds it.',
    ),
    partitions: z
      .array(Partition)
      .describe('What shows that the cluster is cut in two; open until an operator moves the authority on.')
      .meta({ example: [] }),
  })
  .meta({ id: 'Authority' });
export type AuthorityView = z.infer<typeof AuthorityView>;
