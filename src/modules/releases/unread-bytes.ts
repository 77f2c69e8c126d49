import type { Readable } from 'node:stream';

/** What is read of a refused body. */
const LIMITS = { bytes: 8 * 1024 * 1024, ms: 2_000 };

/**
 * Reads the rest of a body that nobody wants, so that the connection can go on with the answer; a connection that is
 * closed with unread bytes in it takes the answer with it. @returns false when there is too much of it, or too slowly
 */
export function drain(bytes: Readable, limits = LIMITS): Promise<boolean> {
  if (bytes.readableEnded || bytes.destroyed) return Promise.resolve(true);
  return new Promise((resolve) => {
    let left = limits.bytes;
    const timer = setTimeout(() => finish(false), limits.ms);
    const finish = (isDone: boolean) => {
      clearTimeout(timer);
      bytes.off('data', onData).off('end', onEnd).off('error', onEnd).off('close', onEnd).pause();
      resolve(isDone);
    };
    const onEnd = () => finish(true);
    const onData = (chunk: Buffer) => {
      left -= chunk.length;
      if (left < 0) finish(false);
    };
    bytes.on('data', onData).on('end', onEnd).on('error', onEnd).on('close', onEnd).resume();
  });
}
