import type { Health, Live, ServiceState } from './service-machine.js';
import type { ReportedState, RunOrder } from './service-order.js';

/** What the control plane is told of one service. */
export interface ServiceReport {
  serviceType: string;
  instanceId: string;
  reportedState: ReportedState;
  version: string | null;
  health: Health;
  message: string | null;
}

/** The state of a service in the words of the contract. It never says `running` of what does not run. */
export function reportOf(serviceType: string, state: ServiceState): ServiceReport {
  const { order, phase, instanceId } = state;
  const of = (
    reportedState: ReportedState,
    version: string | null,
    message: string | null,
    health: Health,
  ) => ({
    serviceType,
    instanceId,
    reportedState,
    version,
    health,
    message,
  });
  switch (phase.at) {
    case 'rest':
      if (order.kind === 'rest') return of(order.reportedState, order.version, order.message, 'unknown');
      return of('starting', order.launch.version, null, 'unknown');
    case 'live': {
      const [reportedState, message] = liveState(phase, order.kind === 'run' ? order : null);
      return of(reportedState, phase.version, message, phase.health);
    }
    case 'waiting': {
      const message = `${phase.ending.text}; next start ${phase.delayMs / 1_000} s after that`;
      return of('failed', phase.version, message, 'unknown');
    }
    case 'ended': {
      const message = `${phase.ending.text}; not to be started again`;
      return of(phase.ending.isSuccess ? 'stopped' : 'failed', phase.version, message, 'unknown');
    }
  }
}

function liveState(phase: Live, order: RunOrder | null): [ReportedState, string | null] {
  const { stage, health, complaint } = phase;
  if (stage === 'stopping' && !phase.isUnhealthyStop) return ['stopping', null];
  if (health === 'unhealthy') return ['degraded', complaint];
  if (stage !== 'running') return [stage, complaint];
  const check = order?.check ?? null;
  return check !== null && 'impossible' in check ? ['degraded', check.impossible] : ['running', null];
}
