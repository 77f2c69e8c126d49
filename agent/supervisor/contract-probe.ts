import type { Workload } from '../snapshot-workload.js';
import type { RestOrder } from './service-order.js';

/** Has no runtime in this agent; only the contract of its adapter can be looked at (specification, stage C19B). */
export const RDP_WORKER = 'rdp-worker';

/** Which way the frames of a channel go, as seen from the adapter, and whether one may be lost. */
interface Channel {
  name: string;
  direction: 'out' | 'in' | 'both';
  delivery: 'reliable' | 'droppable';
}

const CHANNELS: readonly Channel[] = [
  { name: 'control', direction: 'both', delivery: 'reliable' },
  { name: 'input', direction: 'in', delivery: 'reliable' },
  { name: 'display', direction: 'out', delivery: 'droppable' },
  { name: 'cursor', direction: 'out', delivery: 'droppable' },
  { name: 'audio', direction: 'out', delivery: 'droppable' },
  { name: 'clipboard', direction: 'both', delivery: 'reliable' },
  { name: 'file', direction: 'both', delivery: 'reliable' },
];

/** The channel map of remote workspaces, with what it asks of the fabric. */
const CONTRACT = {
  schema: 'rap.remote_workspace_adapter_contract.v1',
  frameBatchSchema: 'rap.remote_workspace_frame_batch.v1',
  probeOnly: true,
  payloadTraffic: 'none',
  requiresFabricServiceChannel: true,
  backendRelay: 'not_steady_state',
  channels: CHANNELS,
};

/**
 * What is reported of an `rdp-worker`. Never that it runs: with `adapter_contract_probe` it is the contract
 * that is there, which is `degraded`; without, nothing is.
 */
export function rdpWorkerReport({ config }: Workload): RestOrder {
  const isProbe = config.adapter_contract_probe === true || config.adapterContractProbe === true;
  if (!isProbe) {
    const message =
      'this agent has no RDP runtime; "adapter_contract_probe" in the config shows its contract';
    return { kind: 'rest', reportedState: 'unsupported', version: null, message };
  }
  const channels = CHANNELS.map(({ name }) => name).join(', ');
  return {
    kind: 'rest',
    reportedState: 'degraded',
    version: null,
    message: `contract probe only, no RDP sessions; channels: ${channels}; needs the fabric service channel; the backend relay is not its steady state`,
    logTail: JSON.stringify(CONTRACT),
  };
}
