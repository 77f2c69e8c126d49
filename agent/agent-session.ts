import type { AgentState } from './agent-state.js';
import { ApiClient } from './api-client.js';
import { stopOnSignals } from './command-line.js';
import { Enrollment } from './enrollment.js';
import { AgentFailure, EXIT } from './exit.js';
import type { NodeKey } from './keys.js';
import type { Log } from './log.js';
import { ServerClock } from './server-clock.js';
import { ServerPresence } from './server-presence.js';
import { lockState } from './state-lock.js';
import { StateStore } from './state-store.js';

/** What a command works with while it holds a state directory. */
export interface AgentSession {
  store: StateStore;
  clock: ServerClock;
  presence: ServerPresence;
  log: Log;
  stop: AbortController;
}

/**
 * Runs `work` as the only agent on `directory`, stopped by SIGINT and SIGTERM; the lock is given back
 * whatever happens.
 * @throws AgentFailure when another agent uses the directory
 */
export async function withSession<T>(
  directory: string,
  log: Log,
  work: (session: AgentSession) => Promise<T>,
): Promise<T> {
  const unlock = await lockState(directory);
  const { stop, release } = stopOnSignals(log);
  try {
    const store = new StateStore(directory);
    await store.prepare();
    const clock = new ServerClock(await store.readContact());
    return await work({ store, clock, presence: new ServerPresence(log), log, stop });
  } finally {
    release();
    await unlock();
  }
}

/** The client for the service that this state belongs to. */
export function clientFor(state: AgentState, session: AgentSession): ApiClient {
  return new ApiClient(state.baseUrl, session.stop.signal);
}

/**
 * Takes the enrollment from where it stands to the decision; `token` asks (again) first. Null: stopped.
 * @throws AgentFailure (3) when the node is not admitted
 */
export async function finishEnrollment(
  session: AgentSession,
  state: AgentState,
  key: NodeKey,
  options: { token: string | null; wait: boolean },
): Promise<AgentState | null> {
  const { store, clock, presence, log, stop } = session;
  const api = clientFor(state, session);
  const enrollment = new Enrollment(api, store, clock, presence, log, stop.signal);
  try {
    const asked = options.token === null ? state : await enrollment.request(state, key, options.token);
    const decided = options.wait ? await enrollment.decision(asked, key) : asked;
    if (decided !== null) assertNotDeclined(decided);
    return decided;
  } catch (error) {
    if (stop.signal.aborted) return null; // what was going on was cut off, and the state says how far it came
    throw error;
  }
}

function assertNotDeclined({ enrollment }: AgentState): void {
  if (enrollment.status !== 'declined') return;
  const reason = enrollment.reason === null ? '' : `: ${enrollment.reason}`;
  throw new AgentFailure(
    `not admitted: the join request was ${enrollment.outcome}${reason}`,
    EXIT.notAdmitted,
  );
}
