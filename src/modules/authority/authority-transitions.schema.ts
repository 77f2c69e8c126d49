import { z } from 'zod';
import { Reason } from '../../common/http/fields.js';
import { AuthorityView } from './authority.schema.js';

export const AuthorityTransition = z
  .strictObject({
    to: AuthorityView.shape.state.describe('The state to go to.'),
    reason: Reason.meta({ example: 'Site msk is cut off.' }),
    expectedTerm: z
      .int()
      .min(1)
      .describe('The term as it was read; the move is refused in any other.')
      .meta({ example: 1 }),
  })
  .meta({ id: 'AuthorityTransition' });

export const ExplainQuery = z.strictObject({
  operation: z.string().min(1).max(100).optional().meta({
    description: 'Only this operation, by its id in the OpenAPI document; without it, all that are guarded.',
    example: 'createRoleAssignment',
  }),
});

export const AuthorityExplanation = z
  .object({
    state: AuthorityView.shape.state,
    term: z.int().meta({ example: 1 }),
    items: z.array(
      z.object({
        operation: z.string().meta({ example: 'createRoleAssignment' }),
        summary: z.string().meta({ example: 'Give a node a role' }),
        guarded: z.boolean().describe('Whether it spreads trust and so depends on the authority.'),
        refused: z.boolean().describe('Whether it would be refused now.'),
        inPart: z.boolean().describe('A part of it is refused; the reason says which part goes on.'),
        code: z.string().nullable().meta({ example: 'cluster_not_authoritative' }),
        reason: z
          .string()
          .describe('The rule that decides.')
          .meta({ example: 'The cluster is authoritative.' }),
      }),
    ),
  })
  .meta({ id: 'AuthorityExplanation' });
export type AuthorityExplanation = z.infer<typeof AuthorityExplanation>;
