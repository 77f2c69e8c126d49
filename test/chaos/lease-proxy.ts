import { once } from 'node:events';
import {
  createServer,
  request as forward,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HistoryRecorder, LeaseAnswer, LeaseCall, LeaseFunction } from './checker/history.js';

const LEASE_CALL =
  /^\/api\/v1\/node-agents\/me\/vpn-connections\/([0-9a-f-]{36})\/lease\/(acquire|renew|release)$/;

/** What the network between one agent and the service does to it. */
export interface Weather {
  /** Of each message, in milliseconds, at most. */
  delayMs: number;
  /** Share of requests that never arrive, and of answers that never come back. */
  lostShare: number;
  isCut: boolean;
}

export const FAIR_WEATHER: Weather = { delayMs: 0, lostShare: 0, isCut: false };

/**
 * The network of one agent: it leads each request to one of the instances, late, or not at all, or loses its answer. It
 * writes down every lease call that passes, as begun before the service can see it and ended after it has answered.
 */
export class LeaseProxy {
  nodeId = '';
  weather = FAIR_WEATHER;
  private turn = 0;

  private constructor(
    private readonly server: Server,
    readonly url: string,
    private readonly targets: () => readonly string[],
    private readonly recorder: HistoryRecorder,
    private readonly newProcess: () => number,
    private readonly random: () => number,
  ) {}

  static async open(
    targets: () => readonly string[],
    recorder: HistoryRecorder,
    newProcess: () => number,
    random: () => number,
  ): Promise<LeaseProxy> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const proxy = new LeaseProxy(server, `http://127.0.0.1:${port}`, targets, recorder, newProcess, random);
    server.on('request', (req, res) => void proxy.pass(req, res).catch(() => res.destroy()));
    return proxy;
  }

  cut(): void {
    this.weather = { ...this.weather, isCut: true };
    this.server.closeAllConnections();
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((closed) => this.server.close(closed));
  }

  private async pass(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const body = await bytesOf(req);
    if (this.weather.isCut || this.isLost()) return void req.socket.destroy();
    await this.delay();
    const call = LEASE_CALL.exec(req.url ?? '');
    const complete = call === null ? null : this.begin(call[1] ?? '', call[2] as LeaseFunction, body);
    try {
      const answer = await this.onward(req, res, body);
      complete?.(...outcomeOf(answer.status, answer.body, this.nodeId));
      await this.delay();
      if (this.weather.isCut || this.isLost()) return void req.socket.destroy();
      res.writeHead(answer.status, answer.headers);
      res.end(answer.body);
    } catch (error) {
      complete?.('info', {}, (error as Error).message);
      res.destroy();
    }
  }

  private begin(connectionId: string, f: LeaseFunction, body: Buffer) {
    const { fencingToken } = JSON.parse(body.toString('utf8') || '{}') as { fencingToken?: number };
    const call: LeaseCall = {
      nodeId: this.nodeId,
      ...(fencingToken === undefined ? {} : { token: fencingToken }),
    };
    return this.recorder.invoke(this.newProcess(), f, connectionId, call);
  }

  private onward(req: IncomingMessage, res: ServerResponse, body: Buffer) {
    const targets = this.targets();
    this.turn += 1;
    const target = targets[this.turn % targets.length];
    const { host: _, connection: __, ...headers } = req.headers;
    return new Promise<{ status: number; headers: IncomingMessage['headers']; body: Buffer }>(
      (resolve, reject) => {
        const call = forward(
          `${target}${req.url}`,
          { method: req.method, headers, agent: false },
          (answer) => {
            bytesOf(answer).then(
              (bytes) =>
                resolve({ status: answer.statusCode ?? 502, headers: passedOn(answer), body: bytes }),
              reject,
            );
          },
        );
        call.on('error', reject);
        // The agent has given up; what its request does to the service nobody will hear.
        res.once('close', () => call.destroy(new Error('the agent has left')));
        call.end(body);
      },
    );
  }

  private isLost(): boolean {
    return this.random() < this.weather.lostShare;
  }

  private async delay(): Promise<void> {
    if (this.weather.delayMs > 0) await sleep(this.random() * this.weather.delayMs);
  }
}

/** What an answer says of a lease. A failing service may have done it or not. */
export function outcomeOf(
  status: number,
  bytes: Buffer,
  nodeId: string,
): ['ok' | 'fail' | 'info', LeaseAnswer, string?] {
  if (status >= 500) return ['info', {}, faultOf(status, bytes)];
  const body = JSON.parse(bytes.toString('utf8') || '{}') as Record<string, unknown>;
  const time = (name: string) => (typeof body[name] === 'string' ? { [name]: Date.parse(body[name]) } : {});
  const times = { ...time('serverTime'), ...time('expiresAt') };
  if (status >= 400) return ['fail', { code: String(body.code), ...times }, String(body.detail)];
  return ['ok', { nodeId, token: Number(body.fencingToken), isNew: status === 201, ...times }];
}

/** The status, and where the log tells of it. */
function faultOf(status: number, bytes: Buffer): string {
  const requestId = /"requestId":"([^"]+)"/.exec(bytes.toString('utf8'))?.[1] ?? 'none';
  return `status ${status}, request ${requestId}`;
}

function passedOn({ headers }: IncomingMessage): IncomingMessage['headers'] {
  const { connection: _, 'transfer-encoding': __, 'keep-alive': ___, ...rest } = headers;
  return rest;
}

async function bytesOf(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}
