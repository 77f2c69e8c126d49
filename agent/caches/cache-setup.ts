import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentSession } from '../agent-session.js';
import { afterFailure, type LoopContext } from '../loop.js';
import type { NodeApi } from '../node-api.js';
import type { SnapshotFollower } from '../role-keeper.js';
import type { TrustStore } from '../trust/trust-store.js';
import { ArtifactDownloads } from '../updates/artifact-download.js';
import { ControlPlaneSource } from '../updates/artifact-source.js';
import { pause } from '../waiting.js';
import { CacheKeeper } from './cache-keeper.js';
import type { CacheOptions } from './cache-options.js';
import { CacheServer } from './cache-server.js';
import { Mirror } from './mirror.js';

/** The part of the agent that keeps files for others. */
export interface CachePart {
  apply: SnapshotFollower;
  run(): Promise<void>;
}

/** Keeps files of releases for others, or clears away what it kept before its host wanted that no more. */
export function cachePartFor(
  { store, log }: Pick<AgentSession, 'store' | 'log'>,
  clusterId: string,
  trust: TrustStore,
  api: NodeApi,
  context: LoopContext,
  options: CacheOptions | null,
): CachePart {
  const folder = join(store.directory, 'update-cache');
  if (options === null) return { apply: () => undefined, run: () => clearAway(folder, api, context) };
  const mirror = new Mirror(new ArtifactDownloads(folder, log), options.maxBytes, log);
  const server = new CacheServer(mirror, trust, clusterId, log);
  const keeper = new CacheKeeper(options, mirror, server, new ControlPlaneSource(api), api, context);
  trust.onChange(() => keeper.trustChanged());
  return { apply: (snapshot, now) => keeper.apply(snapshot, now), run: () => keeper.run() };
}

/** Nodes must not be sent to where nobody serves; the folder goes once that has been said. */
async function clearAway(folder: string, api: NodeApi, context: LoopContext): Promise<void> {
  const { stop } = context;
  if ((await stat(folder).catch(() => null)) === null) return;
  for (let failures = 0; !stop.aborted; failures += 1) {
    try {
      await api.send({ method: 'PUT', path: '/update-cache', json: { url: null } });
      await rm(folder, { recursive: true, force: true });
      return;
    } catch (error) {
      await pause(afterFailure(error, 'cache.failed', failures, context), stop);
    }
  }
}
