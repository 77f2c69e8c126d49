import type { StreamedAnswer } from '../api-client.js';
import type { NodeApi } from '../node-api.js';
import type { ContentId } from './release-manifest.js';

/** Takes the bytes of a file from `from` on. */
export type Take = (from: number, chunks: AsyncIterable<Uint8Array>) => Promise<void>;

/** A place from which a file may be had, by its digest. It is not believed: the digest decides. */
export interface ArtifactSource {
  /** For the log. */
  readonly name: string;
  /**
   * Asks for the bytes from `from` on, or for all of them, and hands them to `take` with where they begin.
   * @throws ServerAway, ApiRefusal, or whatever `take` throws
   */
  read(file: ContentId, from: number, take: Take, signal: AbortSignal): Promise<void>;
  /** Told when all that it gave of a file was not that file. */
  gaveWrong?(file: ContentId): void;
}

/** How long the next bytes of a download may take. */
export const STALL_MS = 30_000;

/** The control plane itself, which gives a node what its assignments name. */
export class ControlPlaneSource implements ArtifactSource {
  readonly name = 'control-plane';

  constructor(private readonly api: NodeApi) {}

  read({ sha256 }: ContentId, from: number, take: Take, signal: AbortSignal): Promise<void> {
    return this.api.stream(
      {
        method: 'GET',
        path: `/artifacts/${sha256}`,
        headers: { accept: '*/*', ...rangeFrom(from, sha256) },
        timeoutMs: STALL_MS,
        signal,
      },
      (answer) => take(startOf(answer), answer.body),
    );
  }
}

/** Headers that ask for the rest of a file, of which a part is there. */
export function rangeFrom(from: number, sha256: string): Record<string, string> {
  return from === 0 ? {} : { range: `bytes=${from}-`, 'if-range': `"${sha256}"` };
}

/** Where an answer begins: what is no part is the whole file. */
export function startOf({ status, headers }: Pick<StreamedAnswer, 'status' | 'headers'>): number {
  const start = /^bytes (\d+)-/.exec(headers.get('content-range') ?? '')?.[1];
  return status === 206 && start !== undefined ? Number(start) : 0;
}
