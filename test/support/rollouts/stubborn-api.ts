import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, type Api, apiClient } from '../api.js';

/** Whoever comes back at once would only keep what starts from its work. */
const PAUSE_MS = 20;

/** Where a stubborn client goes. */
export interface Instances {
  urls: readonly string[];
  /** None of them will ever answer again. */
  isStopped: boolean;
}

/** A client that goes to the next instance with the same call, until one has answered it. */
export function stubbornApi(instances: Instances, token: string | null, begin = 0): Api {
  const apis = instances.urls.map((url) => apiClient(url, token));
  let at = begin;
  const ask = async (call: (api: Api) => Promise<Answer>): Promise<Answer> => {
    for (;;) {
      const answer = await call(apis[at % apis.length] as Api).catch(lost);
      if (answer !== null && answer.status !== 503) return answer;
      if (instances.isStopped) throw new Error('the service was stopped');
      at += 1;
      await sleep(PAUSE_MS);
    }
  };
  return {
    get: (path, body, headers) => ask((api) => api.get(path, body, headers)),
    post: (path, body, headers) => ask((api) => api.post(path, body, headers)),
    put: (path, body, headers) => ask((api) => api.put(path, body, headers)),
    patch: (path, body, headers) => ask((api) => api.patch(path, body, headers)),
    delete: (path, body, headers) => ask((api) => api.delete(path, body, headers)),
    as: (other) => stubbornApi(instances, other, begin),
  };
}

/** The instance is gone, or went away before it had answered. By their names: `fetch` is of another realm than the tests. */
function lost(error: unknown): null {
  if (['TypeError', 'SyntaxError'].includes((error as Partial<Error>).name ?? '')) return null;
  throw error;
}
