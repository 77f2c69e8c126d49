import type { ApiAnswer, ApiCall, ApiClient, StreamedAnswer } from './api-client.js';
import { ApiRefusal } from './api-errors.js';
import type { TokenSource } from './token-source.js';

/** Calls under `/api/v1/node-agents/me`, with the node's token; a 401 is answered once with a new token. */
export class NodeApi {
  constructor(
    private readonly api: ApiClient,
    private readonly tokens: TokenSource,
  ) {}

  /**
   * A 401 that is about a proof in the body is not about the token, and passes through.
   * `call.path` is relative to `/api/v1/node-agents/me`.
   * @throws what `ApiClient.send` and `TokenSource.get` throw
   */
  send(call: ApiCall): Promise<ApiAnswer> {
    return this.authorized(call, (authorized) => this.api.send(authorized));
  }

  /** The same for a body of any size. @throws what `ApiClient.stream` and `TokenSource.get` throw */
  stream<T>(call: ApiCall, take: (answer: StreamedAnswer) => Promise<T>): Promise<T> {
    return this.authorized(call, (authorized) => this.api.stream(authorized, take));
  }

  private async authorized<T>(call: ApiCall, send: (call: ApiCall) => Promise<T>): Promise<T> {
    const under = (bearer: string) => ({ ...call, path: `/api/v1/node-agents/me${call.path}`, bearer });
    const bearer = await this.tokens.get();
    try {
      return await send(under(bearer));
    } catch (error) {
      if (!(error instanceof ApiRefusal) || error.status !== 401 || error.code === 'proof_invalid')
        throw error;
      this.tokens.forget(bearer);
      return send(under(await this.tokens.get()));
    }
  }
}
