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
    partitions: z.array(z.object({ nodeIds: z.array(z.string()) })).meta({ example: [] }),
  })
  .meta({ id: 'Authority' });
export type AuthorityView = z.infer<typeof AuthorityView>;
