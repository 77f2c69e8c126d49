import { fileURLToPath } from 'node:url';
import { AGENT_VERSION } from '../version.js';
import { parseDefinition, type ServiceDefinition } from './service-definition.js';
import { ECHO } from './workload-rules.js';

/** The agent's own program, beside which this file lies when it is built. */
const PROGRAM = fileURLToPath(new URL('../main.js', import.meta.url));

/** What the agent can run without a definition of the host: processes of its own program. */
export const BUILT_IN_SERVICES: ReadonlyMap<string, ServiceDefinition> = new Map([
  [
    ECHO,
    parseDefinition({
      command: [process.execPath, PROGRAM, 'service', ECHO],
      stopTimeoutSeconds: 5,
      version: AGENT_VERSION,
    }),
  ],
]);
