import { compare, parse, type SemVer } from 'semver';
import { z } from 'zod';

const MAX_LENGTH = 64;

/** A version as SemVer 2.0 writes it, without build metadata, which has no say in precedence. */
const Version = z
  .string()
  .max(MAX_LENGTH)
  .refine((text) => readVersion(text)?.version === text, 'Must be a version such as 1.4.0 or 2.0.0-rc.1.')
  .meta({ example: '1.4.0' });

/** Versions of the agent that a cluster does not want: they stop nothing that runs, and are shown as a risk. */
export const AgentVersionPolicy = z
  .strictObject({
    minimum: Version.optional().describe('The oldest version that is allowed.'),
    blocked: z
      .array(Version)
      .max(100)
      .refine((versions) => new Set(versions).size === versions.length, 'Name each version once.')
      .optional()
      .describe('Single versions that are not.'),
  })
  .meta({
    description: 'Versions of the agent that are shown as a risk, and admitted by a reviewer alone.',
    example: { minimum: '1.4.0', blocked: ['1.5.1'] },
  });
export type AgentVersionPolicy = z.infer<typeof AgentVersionPolicy>;

/**
 * Why the policy does not allow this version of the agent; null when it does. What is no version is not known to be
 * new enough. Lists decide the same in SQL (`version_order`); a test compares the two.
 */
export function blockedAgentVersion(
  { minimum, blocked = [] }: AgentVersionPolicy,
  text: string,
): string | null {
  const version = readVersion(text);
  if (version === null)
    return minimum === undefined ? null : `The agent's version ${text} cannot be compared with ${minimum}.`;
  if (blocked.some((each) => compare(each, version) === 0))
    return `The policy blocks version ${text} of the agent.`;
  if (minimum !== undefined && compare(version, minimum) < 0)
    return `Version ${text} of the agent is older than ${minimum}, the oldest that the policy allows.`;
  return null;
}

/** null for what is no version. */
function readVersion(text: string): SemVer | null {
  // The library is lenient about white space around it.
  return text === text.trim() ? parse(text) : null;
}
