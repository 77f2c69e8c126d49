import { createReadStream } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { pipeline } from 'node:stream/promises';
import type { TLSSocket } from 'node:tls';
import type { Log } from '../log.js';
import type { TrustStore } from '../trust/trust-store.js';
import { memberContext, memberOf } from './member-tls.js';
import type { Mirror } from './mirror.js';

/** Enough for a site; who finds no place asks the control plane. */
const MAX_CONNECTIONS = 256;
/** A reader that takes no byte for so long is given up. */
const IDLE_MS = 60_000;
const HANDSHAKE_MS = 10_000;
const PATH = /^\/artifacts\/([0-9a-f]{64})$/;
/** One range, as downloads that go on use it; any other is answered by the whole file. */
const RANGE = /^bytes=(\d{1,15})-(\d{1,15})?$/;

interface Part {
  start: number;
  end: number;
}

/**
 * Serves the mirror to members of the cluster, by TLS with the certificates of both. Nobody else gets past the handshake;
 * who is revoked is cut off when the list says so.
 */
export class CacheServer {
  private server: Server | null = null;
  private readonly sockets = new Set<TLSSocket>();
  /** Answers with bytes of a file that were sent whole. */
  servedFiles = 0;

  constructor(
    private readonly mirror: Mirror,
    private readonly trust: TrustStore,
    private readonly clusterId: string,
    private readonly log: Log,
  ) {}

  get isListening(): boolean {
    return this.server !== null;
  }

  /** Does nothing before the node has a certificate. @throws Error when there is no such place to listen */
  async open({ host, port }: { host: string; port: number }): Promise<void> {
    const context = memberContext(this.trust.current);
    if (context === null) return;
    const options = {
      ...context,
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: HANDSHAKE_MS,
    };
    const server = createServer(options, (request, response) => void this.answer(request, response));
    server.maxConnections = MAX_CONNECTIONS;
    server.setTimeout(IDLE_MS);
    server.on('secureConnection', (socket) => this.admit(socket));
    server.on('tlsClientError', (error) => this.log.debug('cache.refused', { detail: error.message }));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, () => {
        server.off('error', reject);
        resolve();
      });
    });
    server.on('error', (error) => this.log.error('cache.failed', { detail: error.message }));
    this.server = server;
    this.log.info('cache.listening', { host, port });
  }

  /** The certificate, the roots or the lists of the cluster have changed. */
  trustChanged(): void {
    const context = memberContext(this.trust.current);
    if (context !== null) this.server?.setSecureContext(context);
    for (const socket of this.sockets) if (this.refusalOf(socket) !== null) socket.destroy();
  }

  /** Serves nobody any more; what is being sent is cut off. */
  async close(): Promise<void> {
    const { server } = this;
    this.server = null;
    if (server === null) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.sockets) socket.destroy();
    server.closeAllConnections();
    await closed;
    this.log.info('cache.closed');
  }

  private admit(socket: TLSSocket): void {
    const refused = this.refusalOf(socket);
    if (refused !== null) {
      this.log.warn('cache.refused', { detail: refused });
      socket.destroy();
      return;
    }
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
  }

  private refusalOf(socket: TLSSocket): string | null {
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return 'no_certificate';
    const member = memberOf(certificate, this.clusterId, this.trust.current);
    return 'refused' in member ? member.refused : null;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, url = '' } = request;
    if (method !== 'GET' && method !== 'HEAD') return end(response, 405, { Allow: 'GET, HEAD' });
    const found = this.mirror.find(PATH.exec(url)?.[1] ?? '');
    if (found === null) return end(response, 404);
    const { file, path } = found;
    const etag = `"${file.sha256}"`;
    const headers = {
      ETag: etag,
      'Accept-Ranges': 'bytes',
      'Repr-Digest': `sha-256=:${Buffer.from(file.sha256, 'hex').toString('base64')}:`,
      'Content-Type': 'application/octet-stream',
    };
    if (request.headers['if-none-match'] === etag) return end(response, 304, headers);
    const part = partOf(request, file.size, etag);
    if (part === null) return end(response, 416, { 'Content-Range': `bytes */${file.size}` });
    const { start, end: last } = part;
    const isWhole = start === 0 && last === file.size - 1;
    response.writeHead(isWhole ? 200 : 206, {
      ...headers,
      'Content-Length': last - start + 1,
      ...(!isWhole && { 'Content-Range': `bytes ${start}-${last}/${file.size}` }),
    });
    if (method === 'HEAD') return void response.end();
    try {
      await pipeline(createReadStream(path, { start, end: last }), response);
      this.servedFiles += 1;
      this.log.debug('cache.served', { sha256: file.sha256, start, end: last });
    } catch (error) {
      // The reader has gone, or the file has: either way the answer is cut off, and is known to be by its length.
      this.log.debug('cache.broken_off', { sha256: file.sha256, detail: (error as Error).message });
      response.destroy();
    }
  }
}

/** The part that is asked for, all of it where none is; null: there is no such part. */
function partOf({ headers }: IncomingMessage, size: number, etag: string): Part | null {
  const whole = { start: 0, end: size - 1 };
  const ifRange = headers['if-range'];
  const range = ifRange === undefined || ifRange === etag ? RANGE.exec(headers.range ?? '') : null;
  if (range === null) return whole;
  const [, from = '', to] = range;
  const [start, end] = [Number(from), Math.min(size - 1, to === undefined ? size - 1 : Number(to))];
  return start >= size || end < start ? null : { start, end };
}

function end(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  response.writeHead(status, { ...headers, ...(status !== 304 && { 'Content-Length': 0 }) }).end();
}
