import type { Answer } from './api.js';
import type { ControlPlane } from './control-plane.js';

let counter = 0;

/** A name that no other test has used. */
export function unique(prefix: string): string {
  counter += 1;
  return `${prefix}-${process.pid.toString(36)}-${Date.now().toString(36)}-${counter}`;
}

/** Builders of what a test starts from, with valid defaults; each goes through the API. */
export function given(controlPlane: ControlPlane) {
  const { api } = controlPlane;
  return {
    /** A cluster, by its answer. */
    async cluster(input: Record<string, unknown> = {}) {
      return created(await api.post('/clusters', { name: unique('cluster'), ...input })) as {
        id: string;
        slug: string;
      };
    },
    /** A VPN connection, enabled and for nobody unless the input says so. */
    async vpnConnection(clusterId: string, input: Record<string, unknown> = {}) {
      const body = { name: unique('exit'), kind: 'exit', desiredState: 'enabled', ...input };
      return created(await api.post(`/clusters/${clusterId}/vpn-connections`, body)) as { id: string };
    },
    /** A join token, with its secret. */
    async joinToken(clusterId: string, input: Record<string, unknown> = {}) {
      return created(await api.post(`/clusters/${clusterId}/join-tokens`, input)) as {
        id: string;
        token: string;
      };
    },
  };
}

/** The body of a successful answer. @throws with the problem document otherwise */
export function created(answer: Answer): unknown {
  if (answer.status < 200 || answer.status > 299)
    throw new Error(`${answer.status}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** Of things that a test only begins with: more at once would wait for each other, on a busy machine too long. */
const MADE_AT_ONCE = 4;

/** Makes so many things, a few at a time, in their order. */
export async function several<T>(count: number, make: (index: number) => Promise<T>): Promise<T[]> {
  const made: T[] = [];
  let next = 0;
  const making = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) made[index] = await make(index);
  };
  await Promise.all(Array.from({ length: MADE_AT_ONCE }, making));
  return made;
}
