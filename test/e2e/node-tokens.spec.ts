import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import * as oauth from 'oauth4webapi';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { admittedNode, type TestNode } from '../support/test-node.js';

describe('node access tokens', () => {
  let plane: ControlPlane;
  let second: ControlPlane;
  let node: TestNode;

  beforeAll(async () => {
    plane = await startControlPlane();
    second = await startControlPlane({ beside: plane });
    node = await admittedNode(plane);
  });
  afterAll(async () => {
    await second.close();
    await plane.close();
  });

  const assertion = (claims: Record<string, unknown> = {}, seconds = 60) =>
    node.assertion(node.nodeId, { cluster: node.clusterId, ...claims }, seconds);

  it('are issued for a client assertion by the key of the node', async () => {
    const answer = await node.requestToken();
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ token_type: 'Bearer', expires_in: 900 });
    expect(answer.headers.get('cache-control')).toBe('no-store');
  });

  it('can be had by an OAuth client that this project did not write', async () => {
    const server: oauth.AuthorizationServer = {
      issuer: plane.url,
      token_endpoint: `${plane.url}/api/v1/node-agents/token`,
    };
    const client: oauth.Client = { client_id: node.nodeId };
    const authenticate: oauth.ClientAuth = async (_server, _client, body) => {
      body.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
      body.set('client_assertion', await assertion());
    };
    const options = { [oauth.allowInsecureRequests]: true };
    const response = await oauth.clientCredentialsGrantRequest(server, client, authenticate, {}, options);
    const { access_token } = await oauth.processClientCredentialsResponse(server, client, response);
    const { status } = await plane.api.as(access_token).get('/node-agents/me/snapshot');
    expect(status).toBe(200);
  });

  it('accept an assertion once, on whichever instance it comes first', async () => {
    const once = await assertion();
    const target = `${second.url}/api/v1/node-agents/token`;
    const form = (text: string) =>
      new URLSearchParams({
        grant_type: 'client_credentials',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: text,
      });
    const there = await assertion({ aud: second.url });
    expect((await fetch(target, { method: 'POST', body: form(there) })).status).toBe(200);
    expect((await fetch(target, { method: 'POST', body: form(there) })).status).toBe(401);
    const answers = await Promise.all([
      node.requestToken(once),
      node.requestToken(once),
      node.requestToken(once),
    ]);
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, 401, 401]);
  });

  it.each<[string, () => Promise<string>]>([
    ['that has expired', () => assertion({ iat: 1_700_000_000, exp: 1_700_000_060 })],
    ['that lives longer than five minutes', () => assertion({}, 301)],
    ['for another service', () => assertion({ aud: 'https://elsewhere.example' })],
    ['for another cluster', () => assertion({ cluster: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21' })],
    ['whose issuer is somebody else', () => assertion({ iss: 'x' })],
    ['without an id', () => assertion({ jti: undefined })],
  ])('are refused to an assertion %s', async (_, make) => {
    const answer = await node.requestToken(await make());
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="fabric"']);
    expect(answer.body.error).toBe('invalid_client');
  });

  it('are refused to an assertion by another key', async () => {
    const stranger = await admittedNode(plane);
    const answer = await node.requestToken(
      await stranger.assertion(node.nodeId, { cluster: node.clusterId }),
    );
    expect([answer.status, answer.body.error]).toEqual([401, 'invalid_client']);
  });

  it('name the expected audience, and the time, in a refusal', async () => {
    const audience = await node.requestToken(await assertion({ aud: 'https://elsewhere.example' }));
    expect(audience.body.error_description).toContain(plane.url);
    const time = await node.requestToken(await assertion({ iat: 1_700_000_000, exp: 1_700_000_060 }));
    expect(time.body.error_description).toMatch(/20\d\d-\d\d-\d\dT/);
  });

  it.each([
    ['', 'invalid_request'],
    ['grant_type=password', 'unsupported_grant_type'],
    ['grant_type=client_credentials', 'invalid_request'],
  ])('answer %j in OAuth form', async (form, error) => {
    const response = await fetch(`${plane.url}/api/v1/node-agents/token`, {
      method: 'POST',
      body: new URLSearchParams(form),
    });
    expect([response.status, ((await response.json()) as { error: string }).error]).toEqual([400, error]);
  });

  it('open nothing but what is under /node-agents/me', async () => {
    const api = await node.api();
    expect((await api.get('/clusters')).status).toBe(403);
    expect((await api.get(`/clusters/${node.clusterId}/nodes/${node.nodeId}`)).status).toBe(403);
  });

  it('are refused on every instance once the node is revoked', async () => {
    const victim = await admittedNode(plane);
    const api = await victim.api();
    const { access_token } = (await victim.requestToken()).body;
    const there = second.api.as(access_token);
    expect((await there.get('/node-agents/me/snapshot')).status).toBe(200);
    const held = there.get('/node-agents/me/snapshot?waitSeconds=55', undefined, {
      'if-none-match': (await there.get('/node-agents/me/snapshot')).headers.get('etag') ?? '',
    });
    const path = `/clusters/${victim.clusterId}/nodes/${victim.nodeId}/revoke`;
    expect((await plane.api.post(path, { reason: 'stolen' })).status).toBe(200);
    expect((await held).status).toBe(401);
    expect((await api.get('/node-agents/me/snapshot')).status).toBe(401);
    expect((await api.post('/node-agents/me/heartbeat', victim.heartbeat())).status).toBe(401);
    expect((await victim.requestToken()).status).toBe(401);
  });
});
