import type { Answer, Api } from './api.js';
import { apiClient } from './api.js';
import type { ControlPlane } from './control-plane.js';
import { created } from './given.js';
import { admittedNode, type NodeInput, TestNode } from './test-node.js';

// Tests look into payloads of every shape; a wrong look fails the test.
// biome-ignore lint/suspicious/noExplicitAny: payloads have every shape
export type Payload = any;

/** A node as its agent polls, with one token for all of its calls. */
export class WatchingNode {
  /** Of the snapshot that it holds; null before the first. */
  etag: string | null = null;

  private constructor(
    readonly node: TestNode,
    private readonly api: Api,
    private readonly token: string,
  ) {}

  static async admit(
    controlPlane: ControlPlane,
    clusterId?: string,
    input?: NodeInput,
  ): Promise<WatchingNode> {
    const node = await admittedNode(controlPlane, clusterId, input);
    const { access_token: token } = created(await node.requestToken()) as { access_token: string };
    return new WatchingNode(node, apiClient(controlPlane.url, token), token);
  }

  get path(): string {
    return `/clusters/${this.node.clusterId}/nodes/${this.node.nodeId}`;
  }

  /** Asks once; by default with what it holds, and at the instance that it was made for. */
  poll(options: { waitSeconds?: number; etag?: string | null; at?: ControlPlane } = {}): Promise<Answer> {
    const { waitSeconds, etag = this.etag, at } = options;
    const api = at === undefined ? this.api : apiClient(at.url, this.token);
    const query = waitSeconds === undefined ? '' : `?waitSeconds=${waitSeconds}`;
    const headers: Record<string, string> = etag === null ? {} : { 'if-none-match': etag };
    return api.get(`/node-agents/me/snapshot${query}`, undefined, headers);
  }

  /** Gets its present snapshot, decoded, and holds it from then on. */
  async fetch(at?: ControlPlane): Promise<Payload> {
    const answer = await this.poll({ etag: null, ...(at === undefined ? {} : { at }) });
    const { jws } = created(answer) as { jws: string };
    this.etag = answer.headers.get('etag');
    return decodedPayload(jws);
  }
}

/** The payload of a signed snapshot, unverified. */
export function decodedPayload(jws: string): Payload {
  return JSON.parse(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString());
}
