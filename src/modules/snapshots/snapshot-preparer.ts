import { Injectable, type OnModuleInit } from '@nestjs/common';
import { ChangeReader } from '../../common/changes/change-reader.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { NodeState } from '../nodes/node-state.js';
import { issueAt, issueTimes } from './issue.js';
import { KnownParts, type PartMemory } from './known-parts.js';
import { OwnPart, type SharedPart, type UnsignedSnapshot } from './snapshot-parts.js';
import { type Rendered, SnapshotRenderer } from './snapshot-renderer.js';

/** A node that wants its snapshot. */
export interface Wanted {
  clusterId: string;
  nodeId: string;
  /** When it asked; the issue is the one of this instant or a later one. */
  asOf: Date;
  /** What was current for it then. */
  state: NodeState;
}

/**
 * Gets snapshots ready to be signed. Of a node whose state says that its own part is a known one, nothing is read: a
 * change of what a cluster's snapshots share costs one look for all of its nodes. All others are rendered together.
 */
@Injectable()
export class SnapshotPreparer implements OnModuleInit {
  /** Looks at what clusters share that are under way, by cluster. */
  private readonly looking = new Map<string, Promise<SharedPart>>();

  constructor(
    private readonly transactor: Transactor,
    private readonly renderer: SnapshotRenderer,
    private readonly known: KnownParts,
    private readonly changes: ChangeReader,
  ) {}

  onModuleInit(): void {
    this.changes.subscribe((changes) => {
      for (const { kind, resourceType, resourceId } of changes) {
        if (kind === 'snapshot.changed' && resourceType === 'cluster') this.lookAhead(resourceId);
      }
    });
  }

  /** The snapshots of nodes of one cluster, by node id; one that is no member, or a revoked one, has none. */
  async prepare(clusterId: string, wanted: readonly Wanted[]): Promise<Map<string, UnsignedSnapshot>> {
    const memory = this.known.current();
    const prepared = new Map<string, UnsignedSnapshot>();
    const unknown: Wanted[] = [];
    for (const each of wanted) {
      const own = memory.own(clusterId, each.nodeId, each.state);
      const shared = own === null ? null : await this.shared(memory, each);
      if (own === null || shared === null) unknown.push(each);
      else prepared.set(each.nodeId, fromParts(each, own, shared));
    }
    if (unknown.length > 0) {
      for (const [nodeId, each] of await this.render(memory, clusterId, unknown)) prepared.set(nodeId, each);
    }
    return prepared;
  }

  /** What the cluster's snapshots share under the base of the state; null when the cluster has gone on since. */
  private async shared(memory: PartMemory, { clusterId, state }: Wanted): Promise<SharedPart | null> {
    const { generationBase: base } = state;
    const known = memory.shared(clusterId, base);
    if (known !== null) return known;
    const look = () => this.looking.get(clusterId) ?? this.look(memory, clusterId);
    const found = await look();
    // One that was under way already may have begun before the change.
    const latest = found.base < base ? await look() : found;
    return latest.base === base ? latest : null;
  }

  /** Begins to look before the first of the crowd asks: until then their states are looked at. */
  private lookAhead(clusterId: string): void {
    const memory = this.known.current();
    if (!memory.serves(clusterId) || this.looking.has(clusterId)) return;
    // Whoever needs it looks again then, and says what is wrong.
    this.look(memory, clusterId).catch(() => undefined);
  }

  private look(memory: PartMemory, clusterId: string): Promise<SharedPart> {
    const looking = this.transactor
      .read((tx) => this.renderer.shared(tx, clusterId))
      .then((shared) => {
        memory.rememberShared(clusterId, shared);
        return shared;
      })
      .finally(() => this.looking.delete(clusterId));
    this.looking.set(clusterId, looking);
    return looking;
  }

  private async render(
    memory: PartMemory,
    clusterId: string,
    wanted: readonly Wanted[],
  ): Promise<Map<string, UnsignedSnapshot>> {
    const asked = new Map(wanted.map(({ nodeId, asOf }) => [nodeId, asOf]));
    const asOf = (nodeId: string) => asked.get(nodeId) ?? new Date(0);
    const rendered = await this.transactor.read((tx) =>
      this.renderer.render(tx, clusterId, [...asked.keys()], asOf),
    );
    return new Map([...rendered].map(([nodeId, each]) => [nodeId, toParts(memory, clusterId, nodeId, each)]));
  }
}

function fromParts(
  { clusterId, nodeId, asOf, state }: Wanted,
  own: OwnPart,
  shared: SharedPart,
): UnsignedSnapshot {
  const { generation, generationChangedAt, snapshotLifetimeSeconds } = state;
  const issue = issueAt(nodeId, snapshotLifetimeSeconds, asOf);
  const times = issueTimes(issue, generationChangedAt, snapshotLifetimeSeconds);
  return { clusterId, nodeId, own, shared, generation, issue: issue.number, ...times };
}

/** Takes apart what was rendered, and remembers the parts. */
function toParts(
  memory: PartMemory,
  clusterId: string,
  nodeId: string,
  rendered: Rendered,
): UnsignedSnapshot {
  const { content, shared, generation, issue, issuedAt, expiresAt } = rendered;
  const own = OwnPart.of(content);
  memory.rememberOwn(clusterId, nodeId, rendered, own);
  memory.rememberShared(clusterId, shared);
  return { clusterId, nodeId, own, shared, generation, issue, issuedAt, expiresAt };
}
