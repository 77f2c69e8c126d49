import { createReadStream } from 'node:fs';
import { request as plainRequest } from 'node:http';
import { request as secureRequest } from 'node:https';
import type { Readable } from 'node:stream';
import { Failure } from './failure.js';
import type { LocalFile } from './local-files.js';

/** What the service says. */
export interface Reply {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: whoever asks knows what is answered
  body: any;
}

/** Speaks to the service as whoever has the token. */
export class ServiceClient {
  constructor(
    private readonly url: string,
    private readonly token: string,
  ) {}

  get(path: string): Promise<Reply> {
    return this.send('GET', path, {}, null);
  }

  post(path: string, json: Buffer): Promise<Reply> {
    const headers = { 'content-type': 'application/json', 'content-length': String(json.length) };
    return this.send('POST', path, headers, json);
  }

  upload(path: string, { path: file, content }: LocalFile): Promise<Reply> {
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(content.size) };
    return this.send('PUT', path, headers, createReadStream(file));
  }

  private send(
    method: string,
    path: string,
    headers: Record<string, string>,
    body: Buffer | Readable | null,
  ): Promise<Reply> {
    const target = new URL(`${this.url.replace(/\/+$/, '')}/api/v1${path}`);
    const request = target.protocol === 'https:' ? secureRequest : plainRequest;
    return new Promise((resolve, reject) => {
      const fail = (error: Error) =>
        reject(new Failure(`${this.url} cannot be reached: ${error.message}`, { cause: error }));
      const call = request(
        target,
        { method, headers: { authorization: `Bearer ${this.token}`, ...headers } },
        (response) => {
          const parts: Buffer[] = [];
          response.on('data', (part: Buffer) => parts.push(part));
          response.on('error', fail);
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, body: jsonOf(Buffer.concat(parts)) }),
          );
        },
      );
      call.on('error', fail);
      if (body === null || Buffer.isBuffer(body)) call.end(body ?? undefined);
      else body.on('error', (error) => call.destroy(error)).pipe(call);
    });
  }
}

/** @throws Failure with what the service says, unless it has done what was asked */
export function expectDone({ status, body }: Reply): void {
  if (status >= 200 && status < 300) return;
  const faults = ((body?.errors ?? []) as { pointer?: string; message: string }[]).map(
    ({ pointer = '', message }) => `\n  ${pointer} ${message}`,
  );
  throw new Failure(
    `the service answers ${status} ${body?.code ?? ''}: ${body?.detail ?? ''}${faults.join('')}`,
  );
}

function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return null;
  }
}
