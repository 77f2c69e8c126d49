import type { KeyObject } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { compactSigner, encodedHeader } from './compact-signer.js';
import { SigningThread } from './signing-thread.js';

/** Below this many the way to another thread and back costs more than it saves. */
const WORTH_A_THREAD = 32;
/** Signatures on this thread between two looks at what else there is to do: some milliseconds. */
const SIGNED_IN_A_ROW = 50;

/**
 * Signs by the thousand. Many at once go to another thread, together: one by one, handing each over and hearing of it
 * again costs this one more than the signature does. Where there is one processor alone, all are signed here.
 */
@Injectable()
export class ManySignatures implements OnApplicationShutdown {
  private thread: SigningThread | null = null;
  private isClosed = false;
  private readonly hasThread = availableParallelism() > 1;

  async onApplicationShutdown(): Promise<void> {
    this.isClosed = true;
    await this.thread?.close();
  }

  /** Compact JWS in the order of the payloads. @param header beside `alg` */
  async sign(
    key: KeyObject,
    header: Readonly<Record<string, string>>,
    payloads: readonly string[],
  ): Promise<string[]> {
    if (!this.hasThread || this.isClosed || payloads.length < WORTH_A_THREAD)
      return this.signHere(key, header, payloads);
    if (this.thread?.isAlive !== true) this.thread = new SigningThread();
    // A thread that is gone takes nothing with it: the same is signed here.
    return this.thread
      .sign(key, encodedHeader(header), payloads)
      .catch(() => this.signHere(key, header, payloads));
  }

  private async signHere(
    key: KeyObject,
    header: Readonly<Record<string, string>>,
    payloads: readonly string[],
  ): Promise<string[]> {
    const sign = compactSigner(key, header);
    const signed: string[] = [];
    for (const payload of payloads) {
      signed.push(sign(payload));
      if (signed.length % SIGNED_IN_A_ROW === 0) await nextTurn();
    }
    return signed;
  }
}
