import { z } from 'zod';
import { Id } from '../../common/http/fields.js';
import { NodeSelector } from '../nodes/node-selector.js';
import { checkTerms, roleTermsMembers } from './role-assignments.schema.js';
import { isRoleName } from './role-catalogue.js';

export const CreateBulkAssignment = z
  .strictObject({ selector: NodeSelector, ...roleTermsMembers })
  .superRefine(checkTerms)
  .superRefine(({ selector }, context) => {
    for (const [index, role] of (selector.roles ?? []).entries()) {
      // It would silently select nobody.
      if (!isRoleName(role))
        context.addIssue({
          code: 'custom',
          path: ['selector', 'roles', index],
          message: 'There is no such role.',
        });
    }
  })
  .meta({ id: 'CreateBulkRoleAssignment' });

const Outcome = z
  .object({
    nodeId: Id,
    outcome: z.enum(['assigned', 'already_assigned', 'refused']),
    code: z
      .enum(['node_not_member', 'capability_missing'])
      .nullable()
      .describe('Why it is refused; null where it is not.')
      .meta({ example: null }),
    detail: z.string().nullable().describe('The same for people.').meta({ example: null }),
    assignmentId: Id.nullable().describe('Of the assignment that the node has now; null where it has none.'),
  })
  .meta({ id: 'BulkRoleAssignmentOutcome' });
export type BulkAssignmentOutcome = z.infer<typeof Outcome>;

const count = () => z.int().min(0).meta({ example: 1 });

export const BulkAssignmentView = z
  .object({
    assigned: count(),
    alreadyAssigned: count().describe('Nodes that have the role in this scope already, disabled or not.'),
    refused: count(),
    results: z.array(Outcome).describe('One for each selected node, and for each named one, by node id.'),
  })
  .meta({ id: 'BulkRoleAssignment' });
export type BulkAssignmentView = z.infer<typeof BulkAssignmentView>;
