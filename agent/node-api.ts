import type { ApiAnswer, ApiCall, ApiClient } from './api-client.js';
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
  async send(call: ApiCall): Promise<ApiAnswer> {
    const bearer = await this.tokens.get();
    try {
      return await this.sendWith(bearer, call);
    } catch (error) {
      if (!(error instanceof ApiRefusal) || error.status !== 401 || error.code === 'proof_invalid')
        throw error;
      this.tokens.forget(bearer);
      return this.sendWith(await this.tokens.get(), call);
    }
  }

  private sendWith(bearer: string, call: ApiCall): Promise<ApiAnswer> {
    return this.api.send({ ...call, path: `/api/v1/node-agents/me${call.path}`, bearer });
  }
}
