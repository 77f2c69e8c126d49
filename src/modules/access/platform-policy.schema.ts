import { z } from 'zod';

export const FourEyes = z
  .record(z.string().regex(/^[a-z_]+\.[a-z_]+$/), z.boolean())
  .meta({ description: 'Operations that need a second person, by permission.', example: {} });

const members = {
  releaseSelfApproval: z.boolean().describe('Whether who published a release may approve it.'),
  fourEyes: FourEyes,
};

export const PlatformPolicyView = z.object(members).meta({ id: 'PlatformPolicy' });
export type PlatformPolicyView = z.infer<typeof PlatformPolicyView>;

/** A PUT replaces the whole policy: what is left out goes back to its default. */
export const PutPlatformPolicy = z
  .strictObject({
    releaseSelfApproval: members.releaseSelfApproval.default(true),
    fourEyes: FourEyes.default({}),
  })
  .meta({ id: 'PutPlatformPolicy' });
