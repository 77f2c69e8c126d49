import { once } from 'node:events';
import {
  Agent,
  createServer,
  request as forward,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** What becomes of a request: it never reaches the service, or it does and its answer is never seen. */
export type Mishap = 'request_lost' | 'answer_lost';

/** Each request has a connection of its own to the service: one that was kept could be closed while it is sent. */
const onwards = new Agent({ keepAlive: false });

interface Trap {
  path: string;
  mishap: Mishap | 'request_late';
  sprung: () => void;
}

/** A request that is still on its way, whether or not its sender waits for it. */
export interface LateRequest {
  /** Resolves when it has been sent. */
  sent: Promise<void>;
  /** Lets it arrive. Resolves to the status, which its sender sees only if it waits still. */
  arrive(): Promise<number>;
}

/** Stands between agents and the service, and loses what a test wants lost; everything else passes through. */
export class UnreliableProxy {
  private target = '';
  private isCut = false;
  private readonly traps = new Set<Trap>();
  private late: (() => Promise<number>) | null = null;

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async open(): Promise<UnreliableProxy> {
    // What agents see of it is what a test wants lost, and no connection that was kept too long.
    const server = createServer({ keepAliveTimeout: 3_600_000 });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const proxy = new UnreliableProxy(server, `http://127.0.0.1:${port}`);
    server.on('request', (req, res) => proxy.pass(req, res));
    return proxy;
  }

  /** Where everything goes. */
  leadTo(url: string): void {
    this.target = url;
  }

  /** From now on the service is away: connections are cut off, new ones at once. */
  cut(): void {
    this.isCut = true;
    this.server.closeAllConnections();
  }

  /** The service is back. */
  mend(): void {
    this.isCut = false;
  }

  /** The next request whose path ends so meets with a mishap, and its connection hangs; resolves when it has. */
  lose(path: string, mishap: Mishap): Promise<void> {
    return new Promise((sprung) => this.traps.add({ path, mishap, sprung }));
  }

  /** The next request whose path ends so is on its way until it is let arrive. */
  delay(path: string): LateRequest {
    const sent = new Promise<void>((sprung) => this.traps.add({ path, mishap: 'request_late', sprung }));
    return { sent, arrive: () => sent.then(() => this.late?.() ?? 0) };
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((closed) => this.server.close(closed));
  }

  private pass(req: IncomingMessage, res: ServerResponse): void {
    if (this.isCut) {
      req.socket.destroy();
      return;
    }
    const trap = [...this.traps].find(({ path }) => new URL(req.url ?? '', this.url).pathname.endsWith(path));
    if (trap !== undefined) this.traps.delete(trap);
    if (trap?.mishap === 'request_lost') {
      trap.sprung();
      return;
    }
    if (trap?.mishap === 'request_late') {
      void this.keep(req, res).then(trap.sprung);
      return;
    }
    const { host: _, ...headers } = endToEnd(req.headers);
    const options = { method: req.method, headers, agent: onwards };
    const onward = forward(`${this.target}${req.url ?? ''}`, options, (answer) => {
      if (trap !== undefined) {
        answer.resume().once('end', trap.sprung);
        return;
      }
      res.writeHead(answer.statusCode ?? 502, endToEnd(answer.headers));
      answer.pipe(res);
    });
    onward.on('error', () => res.destroy());
    res.once('close', () => onward.destroy());
    req.pipe(onward);
  }

  private async keep(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { host: _, ...headers } = endToEnd(req.headers);
    const options = { method: req.method, headers, agent: onwards };
    const body = await buffer(req);
    this.late = async () => {
      const onward = forward(`${this.target}${req.url ?? ''}`, options);
      const answered = once(onward, 'response') as Promise<[IncomingMessage]>;
      onward.end(body);
      const [answer] = await answered;
      const status = answer.statusCode ?? 0;
      if (res.destroyed) answer.resume();
      else answer.pipe(res.writeHead(status, endToEnd(answer.headers)));
      return status;
    };
  }
}

/** How long a connection is kept is a matter of that connection. */
function endToEnd({ connection: _, 'keep-alive': __, ...headers }: IncomingHttpHeaders): IncomingHttpHeaders {
  return headers;
}
