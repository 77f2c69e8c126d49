import { Injectable, type OnModuleInit } from '@nestjs/common';
import { ChangeReader } from '../../common/changes/change-reader.js';
import type { OwnPart, SharedPart } from './snapshot-parts.js';

/** Nodes whose parts are remembered: more than one process serves at a time. */
const REMEMBERED = 50_000;

/**
 * What tells which content a node's own part has. It changes with the node's counter, and for a reason of the whole
 * cluster with the base under which that happened; what all snapshots share has its own part.
 */
export interface OwnVersion {
  generationCounter: number;
  nodeContentBase: number;
}

interface KnownPart extends OwnVersion {
  own: OwnPart;
}

/** Parts of snapshots by their versions. A version never has another content, so nothing here is ever out of date. */
export class PartMemory {
  private readonly nodes = new Map<string, KnownPart>();
  private readonly clusters = new Map<string, SharedPart>();

  own(clusterId: string, nodeId: string, version: OwnVersion): OwnPart | null {
    const known = this.nodes.get(`${clusterId}/${nodeId}`);
    if (known === undefined || known.generationCounter !== version.generationCounter) return null;
    return known.nodeContentBase === version.nodeContentBase ? known.own : null;
  }

  rememberOwn(clusterId: string, nodeId: string, version: OwnVersion, own: OwnPart): void {
    if (this.nodes.size >= REMEMBERED) this.nodes.clear();
    const { generationCounter, nodeContentBase } = version;
    this.nodes.set(`${clusterId}/${nodeId}`, { generationCounter, nodeContentBase, own });
  }

  /** Whether this process has served the node. */
  isServed(clusterId: string, nodeId: string): boolean {
    return this.nodes.has(`${clusterId}/${nodeId}`);
  }

  /** Whether this process has served nodes of the cluster. */
  serves(clusterId: string): boolean {
    return this.clusters.has(clusterId);
  }

  shared(clusterId: string, base: number): SharedPart | null {
    const known = this.clusters.get(clusterId);
    return known?.base === base ? known : null;
  }

  rememberShared(clusterId: string, shared: SharedPart): void {
    if ((this.clusters.get(clusterId)?.base ?? -1) <= shared.base) this.clusters.set(clusterId, shared);
  }
}

/** The parts that this process remembers, of the database that it sees. */
@Injectable()
export class KnownParts implements OnModuleInit {
  private memory = new PartMemory();

  constructor(private readonly changes: ChangeReader) {}

  onModuleInit(): void {
    // Perhaps another database, or an older copy of this one, which gives numbers again that were given before.
    this.changes.onGap(() => {
      this.memory = new PartMemory();
    });
  }

  /** To be asked for when a piece of work begins: what it reads of one database never tells of the next. */
  current(): PartMemory {
    return this.memory;
  }
}
