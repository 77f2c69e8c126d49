import { ApiRefusal, refusalFrom, ServerAway } from './api-errors.js';
import { AGENT_VERSION } from './version.js';
import { whileMoving, withDeadline } from './waiting.js';

/** Far above any snapshot; keeps a broken or hostile peer from filling the memory of the host. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const DEFAULT_TIMEOUT_MS = 15_000;

/** One call. `path` starts with a slash and carries its query; `json` and `form` exclude each other. */
export interface ApiCall {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  path: string;
  bearer?: string;
  json?: unknown;
  form?: Record<string, string>;
  headers?: Record<string, string>;
  timeoutMs?: number;
  /** Aborts this call alone, beside the client's own stop signal. */
  signal?: AbortSignal;
}

/** An answer with a status below 400; `body` is the parsed JSON, or null when there is none. */
export interface ApiAnswer {
  status: number;
  headers: Headers;
  body: unknown;
  /** The body as it came, for what is no JSON. */
  bytes: Buffer;
  /** Epoch milliseconds by this host's clock; their distance is right even if that was set in between. */
  sentAt: number;
  receivedAt: number;
}

/** An answer whose body is read as it comes. */
export interface StreamedAnswer {
  status: number;
  headers: Headers;
  body: AsyncIterable<Uint8Array>;
}

/** Speaks JSON over HTTP to one control plane. Holds no credential and retries nothing. */
export class ApiClient {
  constructor(
    private readonly baseUrl: string,
    private readonly stop: AbortSignal,
  ) {}

  /**
   * @throws ServerAway when there is no usable answer (network, timeout, 429, 5xx)
   * @throws ApiRefusal on any other status from 300 on, 304 apart
   * An abort by either signal rejects with whatever fetch throws; the caller looks at its signal.
   */
  async send(call: ApiCall): Promise<ApiAnswer> {
    const signals = call.signal === undefined ? [this.stop] : [this.stop, call.signal];
    let answer: ApiAnswer;
    try {
      const timeoutMs = call.timeoutMs ?? DEFAULT_TIMEOUT_MS;
      answer = await withDeadline(signals, timeoutMs, (signal) => this.exchange(call, signal));
    } catch (error) {
      if (signals.some((signal) => signal.aborted)) throw error;
      throw new ServerAway(networkReason(error as Error), null, { cause: error });
    }
    assertGood(answer);
    return answer;
  }

  /**
   * The same for a body of any size, which `take` reads; it may last as long as no wait for the next bytes exceeds
   * the timeout of the call. What `take` throws passes through.
   */
  async stream<T>(call: ApiCall, take: (answer: StreamedAnswer) => Promise<T>): Promise<T> {
    const signals = call.signal === undefined ? [this.stop] : [this.stop, call.signal];
    let isOpen = false;
    try {
      return await whileMoving(signals, call.timeoutMs ?? DEFAULT_TIMEOUT_MS, async (signal, moved) => {
        const response = await this.request(call, signal);
        const { status, headers } = response;
        if (status >= 300) {
          const bytes = await limitedBytes(response);
          assertGood({ status, headers, body: parsed(bytes.toString('utf8')) });
        }
        isOpen = true;
        return take({ status, headers, body: chunksOf(response, moved) });
      });
    } catch (error) {
      if (isOpen || signals.some((signal) => signal.aborted)) throw error;
      if (error instanceof ServerAway || error instanceof ApiRefusal) throw error;
      throw new ServerAway(networkReason(error as Error), null, { cause: error });
    }
  }

  private request(call: ApiCall, signal: AbortSignal): Promise<Response> {
    return fetch(`${this.baseUrl}${call.path}`, {
      method: call.method,
      headers: requestHeaders(call),
      // A credential must not follow a redirect to another place.
      redirect: 'manual',
      signal,
      ...(call.json !== undefined && { body: JSON.stringify(call.json) }),
      ...(call.form !== undefined && { body: new URLSearchParams(call.form) }),
    });
  }

  private async exchange(call: ApiCall, signal: AbortSignal): Promise<ApiAnswer> {
    const sentAt = Date.now();
    const began = performance.now();
    const response = await this.request(call, signal);
    const bytes = await limitedBytes(response);
    const body = parsed(bytes.toString('utf8'));
    const { status, headers } = response;
    const receivedAt = sentAt + Math.round(performance.now() - began);
    return { status, headers, body, bytes, sentAt, receivedAt };
  }
}

/** A body that breaks off is the network's failure, whoever reads it. */
async function* chunksOf({ body }: Response, moved: () => void): AsyncIterable<Uint8Array> {
  if (body === null) return;
  try {
    for await (const chunk of body) {
      moved();
      yield chunk;
    }
  } catch (error) {
    throw new ServerAway(networkReason(error as Error), null, { cause: error });
  }
}

function assertGood(answer: Pick<ApiAnswer, 'status' | 'headers' | 'body'>): void {
  const { status, headers, body } = answer;
  if (status < 300 || status === 304) return;
  if (status === 429 || status >= 500) {
    throw new ServerAway(`${status}: ${refusalFrom(status, body).message}`, retryAfterSeconds(headers));
  }
  if (status >= 400) throw refusalFrom(status, body, retryAfterSeconds(headers));
  const target = headers.get('location') ?? 'nowhere';
  throw refusalFrom(status, { detail: `the URL redirects to ${target}; give that one as --url` });
}

/** What `Retry-After` asks for, in seconds (it may also be a date); null when absent or unreadable. */
export function retryAfterSeconds(headers: Headers): number | null {
  const value = headers.get('retry-after');
  if (value === null) return null;
  if (/^\d+$/.test(value)) return Number(value);
  const at = Date.parse(value);
  return Number.isNaN(at) ? null : Math.max(0, Math.ceil((at - Date.now()) / 1_000));
}

function requestHeaders(call: ApiCall): Record<string, string> {
  return {
    accept: 'application/json, application/problem+json',
    'user-agent': `rap-node-agent/${AGENT_VERSION}`,
    ...(call.json !== undefined && { 'content-type': 'application/json' }),
    ...(call.bearer !== undefined && { authorization: `Bearer ${call.bearer}` }),
    ...call.headers,
  };
}

async function limitedBytes(response: Response): Promise<Buffer> {
  if (response.body === null) return Buffer.alloc(0);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.byteLength;
    if (size > MAX_ANSWER_BYTES) throw new Error('the answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Null for what is not JSON: a proxy's error page tells the agent no more than its status does. */
function parsed(text: string): unknown {
  try {
    return text === '' ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

/** `fetch failed` says nothing; its cause says ECONNREFUSED, or which certificate is wrong. */
function networkReason(error: Error): string {
  const cause = error.cause as (Error & { code?: string }) | undefined;
  return cause?.code ?? cause?.message ?? error.message;
}
