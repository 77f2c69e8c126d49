import type { ControlPlane } from './control-plane.js';
import { created } from './given.js';
import { type MutationCall, World } from './mutations.js';
import { admittedNode, type TestNode } from './test-node.js';

interface Assignment {
  id: string;
  status: string;
}

/**
 * A world of one cluster: what a call needs is looked for among what there is, so that one call finds what others have
 * left, and is made only where nothing fits.
 */
export class ClusterWorld extends World {
  private readonly cluster: string;
  private turn = 0;

  /** @param nodes members of the cluster, the revoked ones too; those that are admitted here join them */
  constructor(
    controlPlane: ControlPlane,
    private readonly id: string,
    private readonly nodes: TestNode[],
  ) {
    super(controlPlane);
    this.cluster = `/clusters/${id}`;
  }

  override async clusterId(): Promise<string> {
    return this.id;
  }

  /** A new member, to which nothing has happened. */
  override async node(): Promise<TestNode> {
    const node = await admittedNode(this.controlPlane, this.id);
    this.nodes.push(node);
    return node;
  }

  /** An active member with all that it has by now, another one each time; a new one where none is left. */
  private async member(): Promise<TestNode> {
    const path = `${this.cluster}/nodes?membershipStatus=active&limit=200`;
    const { items } = created(await this.api.get(path)) as { items: { nodeId: string }[] };
    const active = new Set(items.map(({ nodeId }) => nodeId));
    const found = this.nodes.filter(({ nodeId }) => active.has(nodeId));
    this.turn += 1;
    return found[this.turn % Math.max(1, found.length)] ?? this.node();
  }

  override async assignment(): Promise<{ node: TestNode; path: string }> {
    const node = await this.member();
    const path = `${this.cluster}/role-assignments`;
    const query = `?nodeId=${node.nodeId}&role=vpn-exit`;
    const { items } = created(await this.api.get(`${path}${query}`)) as { items: Assignment[] };
    const body = { nodeId: node.nodeId, role: 'vpn-exit' };
    const { id, status } = items[0] ?? (created(await this.api.post(path, body)) as Assignment);
    if (status === 'disabled') created(await this.api.post(`${path}/${id}/enable`));
    return { node, path: `${path}/${id}` };
  }

  /** Ends what a call has begun and what would stand in the way of every other one. */
  async settle({ path }: MutationCall): Promise<void> {
    if (path.endsWith('/authority/transitions')) await this.regainAuthority();
    if (path.includes('/role-coverage/')) created(await this.api.put(path, { minimum: 0 }));
    if (path.includes('/trust/rotations')) await this.finishRotations();
    if (path === '/policy') created(await this.api.put(path, {}));
  }

  private async regainAuthority(): Promise<void> {
    const { term } = created(await this.api.get(`${this.cluster}/authority`)) as { term: number };
    const body = { to: 'authoritative', reason: 'The drill is over.', expectedTerm: term };
    created(await this.api.post(`${this.cluster}/authority/transitions`, body));
  }

  private async finishRotations(): Promise<void> {
    const path = `${this.cluster}/trust/rotations`;
    for (;;) {
      const { items } = created(await this.api.get(path)) as {
        items: { id: string; nextPhase: string | null }[];
      };
      const under = items.find(({ nextPhase }) => nextPhase !== null);
      if (under === undefined) return;
      const override = { reason: 'A drill.' };
      created(await this.api.post(`${path}/${under.id}/advance`, { to: under.nextPhase, override }));
    }
  }
}
