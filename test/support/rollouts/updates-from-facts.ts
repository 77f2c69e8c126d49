import type { Api } from '../api.js';
import { created } from '../given.js';
import type { Publisher } from '../publisher.js';

// biome-ignore lint/suspicious/noExplicitAny: answers have every shape
type Fact = any;

/** Told in this order: what has been begun before what was only offered, the way back before the way forward. */
const TOLD = ['granted', 'applying', 'health', 'lost', 'offered'];

/** What the snapshots must tell of the updates of a product, by node id, made of what the API tells of its rollouts and
 *  releases, and of nothing that composes snapshots. */
export async function updatesFromFacts(
  api: Api,
  clusterId: string,
  publisher: Publisher,
): Promise<Map<string, Fact>> {
  const read = async (path: string): Promise<Fact> => created(await api.get(path));
  const rollouts = `/clusters/${clusterId}/rollouts`;
  const platforms = new Map<string, string>();
  for (const { nodeId, os, arch } of (await read(`/clusters/${clusterId}/nodes?limit=200`)).items)
    platforms.set(nodeId, `${os}/${arch}`);
  const ways: Fact[] = [];
  for (const { id } of (await read(`${rollouts}?product=${publisher.product}&limit=200`)).items) {
    const { items } = await read(`${rollouts}/${id}/nodes?limit=200`);
    ways.push(...items);
  }
  const updates = new Map<string, Fact>();
  for (const way of ways.filter(({ state, isWrittenOff }) => TOLD.includes(state) && !isWrittenOff)) {
    const known = updates.get(way.nodeId);
    if (known === undefined || comesFirst(way, known)) updates.set(way.nodeId, way);
  }
  for (const [nodeId, way] of updates)
    updates.set(nodeId, await toldOf(read, publisher, way, platforms.get(nodeId) ?? ''));
  return updates;
}

function comesFirst(one: Fact, other: Fact): boolean {
  const isOffered = (way: Fact) => Number(way.state === 'offered');
  if (isOffered(one) !== isOffered(other)) return isOffered(one) < isOffered(other);
  return one.direction < other.direction;
}

async function toldOf(
  read: (path: string) => Promise<Fact>,
  publisher: Publisher,
  { assignmentId, fromVersion, toVersion, epoch, state }: Fact,
  platform: string,
): Promise<Fact> {
  const manifest = await read(publisher.path(toVersion, '/envelope'));
  const [os, arch] = platform.split('/');
  const { artifacts } = JSON.parse(Buffer.from(manifest.payload, 'base64').toString());
  const { sha256, size } = artifacts.find((each: Fact) => each.os === os && each.arch === arch);
  return {
    ...{ assignmentId, product: publisher.product, fromVersion, toVersion, epoch },
    phase: state === 'offered' ? 'offered' : 'granted',
    artifact: { os, arch, sha256, size, path: `/api/v1/node-agents/me/artifacts/${sha256}` },
    manifest,
  };
}
