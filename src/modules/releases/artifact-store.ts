import type { Readable } from 'node:stream';
import type { ByteRange } from './byte-range.js';

/** Content, by what it is. */
export interface ContentId {
  /** Hexadecimal. */
  sha256: string;
  size: number;
}

/** Where the bytes of releases rest, by content. Whoever calls it has checked them. */
export interface ArtifactStore {
  /** Takes the file at `path` in: there is all of it afterwards, or nothing. The same content again changes nothing. */
  place(path: string, content: ContentId): Promise<void>;
  /** @throws unavailable when the store has lost it */
  open(content: ContentId, range: ByteRange | null): Promise<Readable>;
  /** Harmless when there is nothing. */
  remove(sha256: string): Promise<void>;
}

/** Injection token of the {@link ArtifactStore}. */
export const ARTIFACT_STORE = Symbol('ArtifactStore');
