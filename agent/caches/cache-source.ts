import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import type { PeerCertificate } from 'node:tls';
import type { TrustStore } from '../trust/trust-store.js';
import { type ArtifactSource, rangeFrom, STALL_MS, startOf, type Take } from '../updates/artifact-source.js';
import type { ContentId } from '../updates/release-manifest.js';
import { memberContext, memberOf } from './member-tls.js';
import type { NearCache } from './snapshot-caches.js';

/** A cache that is near answers at once or is not there; the next source must not wait for it. */
const CONNECT_MS = 3_000;

/** A cache near this node. It must be the very member that the snapshot names; what it sends is not believed for that. */
export class CacheSource implements ArtifactSource {
  readonly name: string;

  constructor(
    private readonly cache: NearCache,
    private readonly clusterId: string,
    private readonly trust: TrustStore,
    private readonly onWrong: (file: ContentId) => void,
  ) {
    this.name = `cache ${cache.nodeId}`;
  }

  async read(file: ContentId, from: number, take: Take, signal: AbortSignal): Promise<void> {
    const answer = await this.ask(file, from, signal);
    const { statusCode: status = 0, headers } = answer;
    if (status !== 200 && status !== 206) {
      answer.destroy();
      throw new Error(`${this.name} answered ${status}`);
    }
    const range = headers['content-range'];
    const start = startOf({
      status,
      headers: new Headers(range === undefined ? {} : { 'content-range': range }),
    });
    try {
      await take(start, answer);
    } finally {
      answer.destroy();
    }
  }

  gaveWrong(file: ContentId): void {
    this.onWrong(file);
  }

  private ask(file: ContentId, from: number, signal: AbortSignal): Promise<IncomingMessage> {
    const context = memberContext(this.trust.current);
    if (context === null) throw new Error('this node cannot prove itself to others yet');
    return new Promise((resolve, reject) => {
      const call = request(`${this.cache.url}/artifacts/${file.sha256}`, {
        ...context,
        headers: rangeFrom(from, file.sha256),
        // Members have no host names: who it is says the certificate alone.
        servername: '',
        checkServerIdentity: (_, certificate) => this.refusalOf(certificate),
        agent: false,
        signal,
        timeout: STALL_MS,
      });
      const timer = setTimeout(() => call.destroy(new Error(`${this.name} is not there`)), CONNECT_MS);
      call.once('socket', (socket) => socket.once('secureConnect', () => clearTimeout(timer)));
      call.once('timeout', () => call.destroy(new Error(`${this.name} has stalled`)));
      call.once('close', () => clearTimeout(timer));
      call.once('response', resolve);
      // Stays when the answer is there: a connection that breaks is told by the answer as well.
      call.on('error', reject);
      call.end();
    });
  }

  private refusalOf({ subjectaltname, serialNumber }: PeerCertificate): Error | undefined {
    const named = { subjectAltName: subjectaltname, serialNumber };
    const member = memberOf(named, this.clusterId, this.trust.current);
    if ('refused' in member)
      return new Error(`${this.name} shows a certificate that is not good: ${member.refused}`);
    const isNamed = `URI:${this.cache.spiffeId}` === subjectaltname && member.nodeId === this.cache.nodeId;
    return isNamed ? undefined : new Error(`${this.name} is another member`);
  }
}
