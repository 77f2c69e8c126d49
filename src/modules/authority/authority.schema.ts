import { z } from 'zod';
import { Instant } from '../../common/http/fields.js';

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
    partitions: z.array(z.object({ nodeIds: z.array(z.string()) })).meta({ example: [] }),
  })
  .meta({ id: 'Authority' });
export type AuthorityView = z.infer<typeof AuthorityView>;
