import { connect } from 'node:net';

const HEAD_END = '\r\n\r\n';

/**
 * One keep-alive connection that carries one request at a time. It does far less than a general client, so that the
 * client is not what limits a measurement: requests come as finished bytes, answers must have a Content-Length.
 */
export class HttpConnection {
  #socket;
  #received = null;
  #waiting = null;

  /** @param {number} port on the loopback interface */
  static open(port) {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new HttpConnection(socket));
      });
    });
  }

  /** Opens many, some at a time, so that no backlog overflows. */
  static async openMany(port, count) {
    const connections = [];
    while (connections.length < count) {
      const some = Math.min(100, count - connections.length);
      connections.push(...(await Promise.all(Array.from({ length: some }, () => HttpConnection.open(port)))));
    }
    return connections;
  }

  constructor(socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('The connection was closed before its answer.')));
  }

  /**
   * Sends a request and waits for its answer.
   * @param {Buffer | string} request all of it
   * @returns {Promise<{ status: number, head: string, body: Buffer | null }>}
   */
  send(request) {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(request);
    });
  }

  close() {
    this.#waiting = null;
    this.#socket.destroy();
  }

  #read(chunk) {
    const received = this.#received === null ? chunk : Buffer.concat([this.#received, chunk]);
    const end = received.indexOf(HEAD_END);
    const head = end < 0 ? null : received.latin1Slice(0, end);
    const length = head === null ? Number.POSITIVE_INFINITY : lengthOf(head);
    if (head === null || received.length < end + HEAD_END.length + length) {
      this.#received = received;
      return;
    }
    this.#received = null;
    const waiting = this.#waiting;
    this.#waiting = null;
    const start = end + HEAD_END.length;
    const body = length === 0 ? null : received.subarray(start, start + length);
    waiting?.resolve({ status: Number(head.slice(9, 12)), head, body });
  }

  #fail(error) {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.reject(error);
  }
}

/** By name: made once, since a crowd of answers is looked at while the service works on the rest of them. */
const HEADERS = new Map();

/** A header of an answer; null when it is not there. */
export function headerOf(head, name) {
  const header = HEADERS.get(name) ?? new RegExp(`^${name}: *(.*)$`, 'im');
  HEADERS.set(name, header);
  return header.exec(head)?.[1]?.trim() ?? null;
}

/**
 * The bytes of a request.
 * @param {{ method?: string, path: string, token?: string, headers?: Record<string, string>, body?: string }} request
 */
export function requestBytes({ method = 'GET', path, token, headers = {}, body }) {
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: 127.0.0.1', 'User-Agent: fabric-bench'];
  if (token !== undefined) lines.push(`Authorization: Bearer ${token}`);
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  if (body !== undefined) {
    if (headers['Content-Type'] === undefined) lines.push('Content-Type: application/json');
    lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  }
  return `${lines.join('\r\n')}${HEAD_END}${body ?? ''}`;
}

function lengthOf(head) {
  const status = head.slice(9, 12);
  if (status === '304' || status === '204') return 0;
  const length = headerOf(head, 'content-length');
  if (length === null) throw new Error(`An answer without a Content-Length:\n${head}`);
  return Number(length);
}
