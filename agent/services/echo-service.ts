import { once } from 'node:events';
import {
  createServer,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { isCount, isObject, isText } from '../json-values.js';

/** What `synthetic.echo` is configured by; members that begin with `x-` are the operator's own. */
export interface EchoConfig {
  host: string;
  /** 0: any that is free; the log says which. */
  port: number;
  /** Null: each connection shows by its first bytes what it speaks. */
  protocol: 'tcp' | 'http' | null;
}

const MAX_CONNECTIONS = 256;
const IDLE_MS = 60_000;
const REQUEST_LINE = /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) \//;

/** @throws Error that names the member at fault */
export function echoConfig(value: unknown): EchoConfig {
  if (!isObject(value)) throw new Error('the configuration is no JSON object');
  const { host = '127.0.0.1', port = 0, protocol = null } = value;
  if (!isText(host)) throw new Error('"host" must be an address');
  if (!isCount(port) || port > 65_535) throw new Error('"port" must be a number from 0 to 65535');
  if (protocol !== null && protocol !== 'tcp' && protocol !== 'http') {
    throw new Error('"protocol" must be "tcp" or "http"');
  }
  return { host, port, protocol };
}

/** Gives back what it gets: the bytes of a TCP connection, the body of an HTTP request. */
export class EchoService {
  private readonly http: HttpServer = createServer((request, response) => this.answer(request, response));
  private readonly server: Server = createTcpServer({ allowHalfOpen: true }, (socket) =>
    this.welcome(socket),
  );
  private readonly sockets = new Set<Socket>();

  /** `name`: what it says of itself over HTTP. */
  constructor(
    private readonly config: EchoConfig,
    private readonly name: Readonly<Record<string, string>>,
  ) {
    this.server.maxConnections = MAX_CONNECTIONS;
  }

  /** Begins to listen; returns where. @throws Error when the address is taken */
  async listen(): Promise<AddressInfo> {
    const { host, port } = this.config;
    this.server.listen(port, host);
    await once(this.server, 'listening');
    return this.server.address() as AddressInfo;
  }

  /** Ends all connections and stops listening. */
  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((closed) => this.server.close(closed));
  }

  private welcome(socket: Socket): void {
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    const { protocol } = this.config;
    if (protocol === 'tcp') socket.pipe(socket);
    else if (protocol === 'http') this.http.emit('connection', socket);
    else socket.once('readable', () => this.listenTo(socket));
  }

  /** Looks at the first bytes, puts them back, and hands the connection on. */
  private listenTo(socket: Socket): void {
    const first = socket.read() as Buffer | null;
    if (first === null) return void socket.end(); // nothing was said
    socket.unshift(first);
    if (REQUEST_LINE.test(first.toString('latin1'))) this.http.emit('connection', socket);
    else socket.pipe(socket);
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const { method, url, headers } = request;
    const hasBody = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
    if (hasBody) {
      response.writeHead(200, { 'content-type': headers['content-type'] ?? 'application/octet-stream' });
      request.pipe(response);
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify({ ...this.name, method, url })}\n`);
  }
}
