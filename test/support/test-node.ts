import { createHash, randomUUID } from 'node:crypto';
import canonicalize from 'canonicalize';
import { CompactSign, type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { type Answer, type Api, apiClient } from './api.js';
import type { ControlPlane } from './control-plane.js';
import { created, given, unique } from './given.js';

const canonicalJson = canonicalize as unknown as (value: unknown) => string;
const base64urlSha256 = (text: string) => createHash('sha256').update(text).digest('base64url');

/** What a test may want other than the defaults of an enrolling node. */
export interface NodeInput {
  name?: string;
  capabilities?: string[];
  facts?: Record<string, unknown>;
  requestedRoles?: string[];
}

/** A node with a real key, as an agent would act. */
export class TestNode {
  readonly instanceId = randomUUID();
  nodeId = '';
  clusterId = '';
  joinRequestId = '';
  private sequence = 0;

  private constructor(
    readonly url: string,
    readonly name: string,
    readonly publicKey: JWK,
    private readonly privateKey: CryptoKey,
    private readonly input: NodeInput,
  ) {}

  static async make(url: string, input: NodeInput = {}): Promise<TestNode> {
    const { publicKey, privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
    return new TestNode(url, input.name ?? unique('node'), await exportJWK(publicKey), privateKey, input);
  }

  /** Sends the join request. */
  async enroll(token: string): Promise<Answer> {
    const body = {
      token,
      nodeName: this.name,
      publicKey: this.publicKey,
      facts: {
        os: 'linux',
        arch: 'x64',
        hostname: this.name,
        machineId: `machine-${this.name}`,
        ...this.input.facts,
      },
      capabilities: this.input.capabilities ?? ['can_run_vpn_exit', 'can_route_mesh'],
      requestedRoles: this.input.requestedRoles ?? [],
      agentVersion: '0.1.0',
    };
    const claims = {
      jti: randomUUID(),
      iat: Math.floor(Date.now() / 1000),
      aud: this.url,
      tokenHash: base64urlSha256(token),
      bodyHash: base64urlSha256(canonicalJson(body)),
    };
    const answer = await apiClient(this.url, null).post('/node-agents/enroll', {
      ...body,
      proof: await this.sign(claims),
    });
    if (answer.status === 202)
      ({ joinRequestId: this.joinRequestId, clusterId: this.clusterId } = answer.body);
    return answer;
  }

  /** A compact JWS by the node's key. */
  sign(claims: Record<string, unknown>): Promise<string> {
    return this.signText(JSON.stringify(claims));
  }

  /** A compact JWS by the node's key over any text. */
  signText(text: string): Promise<string> {
    return new CompactSign(new TextEncoder().encode(text))
      .setProtectedHeader({ alg: this.alg })
      .sign(this.privateKey);
  }

  /** A JWT by the node's key, `iss` and `sub` being `subject`. */
  assertion(subject: string, claims: Record<string, unknown> = {}, lifetimeSeconds = 60): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const all = {
      iss: subject,
      sub: subject,
      aud: this.url,
      jti: randomUUID(),
      iat: now,
      exp: now + lifetimeSeconds,
      ...claims,
    };
    return new SignJWT(all).setProtectedHeader({ alg: this.alg }).sign(this.privateKey);
  }

  /** Asks the token endpoint. */
  async requestToken(assertion?: string): Promise<Answer> {
    const form = new URLSearchParams({
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: assertion ?? (await this.assertion(this.nodeId, { cluster: this.clusterId })),
    });
    return apiClient(this.url, null).post('/node-agents/token', form);
  }

  private get alg(): string {
    return this.publicKey.kty === 'EC' ? 'ES256' : 'EdDSA';
  }

  /** Its key, for a node that is to have the same. */
  get key(): { publicJwk: JWK; privateKey: CryptoKey } {
    return { publicJwk: this.publicKey, privateKey: this.privateKey };
  }

  /** The same node with another key of its own. */
  withKey({ publicJwk, privateKey }: { publicJwk: JWK; privateKey: CryptoKey }): TestNode {
    const other = new TestNode(this.url, this.name, publicJwk, privateKey, this.input);
    return Object.assign(other, { nodeId: this.nodeId, clusterId: this.clusterId });
  }

  /** A client of the API with a fresh access token. */
  async api(): Promise<Api> {
    const { access_token } = created(await this.requestToken()) as { access_token: string };
    return apiClient(this.url, access_token);
  }

  /** A heartbeat's body with the next sequence. */
  heartbeat(more: Record<string, unknown> = {}): Record<string, unknown> {
    this.sequence += 1;
    return { agentVersion: '0.1.0', sequence: this.sequence, agentInstanceId: this.instanceId, ...more };
  }
}

/** A node that is enrolled and approved in `clusterId`, or in a cluster of its own. */
export async function admittedNode(
  controlPlane: ControlPlane,
  clusterId?: string,
  input: NodeInput = {},
): Promise<TestNode> {
  const make = given(controlPlane);
  const cluster = clusterId ?? (await make.cluster()).id;
  const { token } = await make.joinToken(cluster);
  const node = await TestNode.make(controlPlane.url, input);
  created(await node.enroll(token));
  const request = created(
    await controlPlane.api.post(`/clusters/${cluster}/join-requests/${node.joinRequestId}/approve`),
  ) as { approvedNodeId: string };
  node.nodeId = request.approvedNodeId;
  return node;
}
