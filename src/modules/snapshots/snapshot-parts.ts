import type { ClusterContent, NodeContent } from './snapshot-content.js';
import { HASH_BYTES, ownSections, type Section, sharedSection } from './snapshot-sections.js';

/** What is a node's own in its snapshot, as it goes into payloads and is kept: made once for all that it is issued in. */
export class OwnPart {
  private constructor(
    readonly json: string,
    /** Of its sections, one behind the other. */
    readonly hashes: Buffer,
  ) {}

  static of(content: NodeContent): OwnPart {
    return new OwnPart(JSON.stringify(content), Buffer.concat(ownSections(content).map(({ hash }) => hash)));
  }

  /** Made again, since they are needed once. */
  sections(): Section[] {
    return ownSections(JSON.parse(this.json) as NodeContent);
  }
}

/** What all snapshots of a cluster share under one base. */
export class SharedPart {
  readonly json: string;
  readonly section: Section;

  constructor(
    readonly base: number,
    readonly content: ClusterContent,
    /** The key that signs. */
    readonly signingKid: string,
  ) {
    this.json = JSON.stringify(content);
    this.section = sharedSection(content);
  }
}

/** A snapshot before it is signed. */
export interface UnsignedSnapshot {
  clusterId: string;
  nodeId: string;
  own: OwnPart;
  shared: SharedPart;
  generation: number;
  /** Number of its issue. */
  issue: number;
  issuedAt: Date;
  expiresAt: Date;
}

/** The JSON of the payload: that of its parts, with its number and its times. */
export function payloadJson({ own, shared, generation, issuedAt, expiresAt }: UnsignedSnapshot): string {
  const rest = JSON.stringify({ generation, issuedAt, expiresAt });
  return `${own.json.slice(0, -1)},${shared.json.slice(1, -1)},${rest.slice(1)}`;
}

/** Hashes of all sections of the snapshot, one behind the other. */
export function sectionHashes({ own, shared }: UnsignedSnapshot): Buffer {
  return Buffer.concat([shared.section.hash, own.hashes], HASH_BYTES + own.hashes.length);
}
