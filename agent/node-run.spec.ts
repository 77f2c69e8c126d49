import { createHash, generateKeyPair } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { CompactSign, compactVerify, importJWK, type JWK, jwtVerify } from 'jose';
import { type AgentSession, finishEnrollment } from './agent-session.js';
import type { AgentState } from './agent-state.js';
import { canonicalJson } from './canonical-json.js';
import { AgentFailure } from './exit.js';
import { prepareJoin } from './join-state.js';
import { type NodeKey } from './keys.js';
import { Log } from './log.js';
import { runNode } from './node-run.js';
import { ServerClock } from './server-clock.js';
import { ServerPresence } from './server-presence.js';
import { StateStore } from './state-store.js';

const cluster = '0195f000-0000-7000-8000-000000000001';
const node = '0195f000-0000-7000-8000-000000000002';
const request = '0195f000-0000-7000-8000-000000000003';
const token = 'fjt_id_secret';

/** The cluster's. Not of `generateKeyPairSync`, whose keys may wait for themselves when they are exported; see
 *  `generateNodeKey`. */
const signing = await promisify(generateKeyPair)('ed25519');

type Body = Record<string, unknown>;

/** As much of a control plane as one agent needs, over real HTTP; it checks what the agent signs. */
class TinyControlPlane {
  private server: Server | null = null;
  private port = 0;
  private readonly held = new Set<() => void>();
  private onHeld: () => void = () => undefined;
  readonly enrollments: Body[] = [];
  readonly heartbeats: Body[] = [];
  key: JWK = {};
  kid = 'key-1';
  /** How far the server's clock is ahead of this host's. */
  clockOffsetMs = 0;
  loseNextAnswer = false;
  loseNextBeat = false;
  pollsBeforeDecision = 0;
  decision: Body = { status: 'approved', nodeId: node };
  isRevoked = false;
  /** How often the cluster's keys were asked for. */
  askedForKeys = 0;
  snapshot: Body = this.content({});

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    this.server = createServer((req, res) => {
      this.answer(req, res).catch((error: unknown) => problem(res, 500, 'internal', String(error)));
    });
    this.server.listen(this.port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = (this.server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.server?.closeAllConnections();
    await new Promise((done) => this.server?.close(done));
  }

  content(change: Body): Body {
    const issuedAt = new Date().toISOString();
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const base = { schema: 'rap.cluster_snapshot.v1', clusterId: cluster, nodeId: node, authorityTerm: 1 };
    const times = { issuedAt, expiresAt, degradedGraceSeconds: 60 };
    return { ...base, ...times, generation: 1, membership: { status: 'active' }, roles: [], ...change };
  }

  /** Resolves once a request for the snapshot is held. */
  async whenHeld(): Promise<void> {
    while (this.held.size === 0) {
      await new Promise<void>((resolve) => {
        this.onHeld = resolve;
      });
    }
  }

  publish(change: Body): void {
    this.snapshot = this.content(change);
    for (const wake of [...this.held]) wake();
  }

  private get now(): Date {
    return new Date(Date.now() + this.clockOffsetMs);
  }

  private get jwks(): Body {
    return { keys: [this.jwk(this.kid)] };
  }

  /** Its key under this name. */
  jwk(kid: string): Body {
    return { ...signing.publicKey.export({ format: 'jwk' }), kid };
  }

  private async answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(req.url ?? '', this.url);
    const text = await bodyOf(req);
    const call = `${req.method} ${pathname.replace('/api/v1/node-agents', '')}`;
    const bearer = (req.headers.authorization ?? '').replace('Bearer ', '');
    if (call === 'POST /enroll') return this.enroll(JSON.parse(text) as Body, req, res);
    if (call === `GET /enroll/${request}`) return this.poll(bearer, res);
    if (call === 'POST /token') return this.token(new URLSearchParams(text), res);
    if (call === 'GET /.well-known/fabric') return json(res, 200, { serverTime: this.now.toISOString() });
    if (pathname === `/api/v1/clusters/${cluster}/trust/jwks`) {
      this.askedForKeys += 1;
      return json(res, 200, this.jwks);
    }
    if (this.isRevoked || bearer !== 'node-token')
      return problem(res, 401, 'unauthenticated', 'no such token');
    if (call === 'POST /me/heartbeat') return this.heartbeat(JSON.parse(text) as Body, req, res);
    if (call === 'GET /me/snapshot') return this.getSnapshot(req, searchParams, res);
    return problem(res, 404, 'not_found', call);
  }

  private async enroll(body: Body, req: IncomingMessage, res: ServerResponse): Promise<void> {
    const { proof, ...rest } = body;
    const claims = await this.verifiedProof(String(proof), rest);
    if (Math.abs(Number(claims.iat) * 1_000 - this.now.getTime()) > 600_000) {
      return json(res, 401, { code: 'proof_invalid', detail: 'clock', serverTime: this.now.toISOString() });
    }
    this.enrollments.push(rest);
    if (this.loseNextAnswer) {
      this.loseNextAnswer = false;
      req.socket.destroy();
      return;
    }
    json(res, 202, { joinRequestId: request, clusterId: cluster, status: 'pending', pollAfterSeconds: 1 });
  }

  private async verifiedProof(proof: string, body: Body): Promise<Body> {
    this.key = body.publicKey as JWK;
    const { payload } = await compactVerify(proof, await importJWK(this.key, 'EdDSA'));
    const claims = JSON.parse(new TextDecoder().decode(payload)) as Body;
    const hash = (value: string): string => createHash('sha256').update(value).digest('base64url');
    expect(claims).toMatchObject({
      aud: this.url,
      tokenHash: hash(token),
      bodyHash: hash(canonicalJson(body)),
      jti: expect.any(String),
    });
    return claims;
  }

  private async poll(bearer: string, res: ServerResponse): Promise<void> {
    await jwtVerify(bearer, await importJWK(this.key, 'EdDSA'), {
      issuer: request,
      subject: request,
      audience: this.url,
      maxTokenAge: '60s',
      currentDate: this.now,
    });
    this.pollsBeforeDecision -= 1;
    if (this.pollsBeforeDecision >= 0) return json(res, 200, { status: 'pending', clusterId: cluster });
    json(res, 200, { clusterId: cluster, jwks: this.jwks, ...this.decision });
  }

  private async token(form: URLSearchParams, res: ServerResponse): Promise<void> {
    if (this.isRevoked) {
      return json(res, 401, { error: 'invalid_client', error_description: 'the identity is revoked' });
    }
    const assertion = form.get('client_assertion') ?? '';
    const { payload } = await jwtVerify(assertion, await importJWK(this.key, 'EdDSA'), {
      issuer: node,
      subject: node,
      audience: this.url,
      maxTokenAge: '300s',
    });
    expect(payload.cluster).toBe(cluster);
    json(res, 200, { access_token: 'node-token', token_type: 'Bearer', expires_in: 900 });
  }

  private heartbeat(body: Body, req: IncomingMessage, res: ServerResponse): void {
    this.heartbeats.push(body);
    if (this.loseNextBeat) {
      this.loseNextBeat = false;
      req.socket.destroy();
      return;
    }
    const { generation: snapshotGeneration, authorityTerm } = this.snapshot;
    const rest = { nextHeartbeatSeconds: 1, snapshotGeneration, authorityTerm, revocationEpoch: 0 };
    json(res, 200, { serverTime: this.now.toISOString(), ...rest });
  }

  private async getSnapshot(
    req: IncomingMessage,
    query: URLSearchParams,
    res: ServerResponse,
  ): Promise<void> {
    const etag = (): string => `"${this.snapshot.authorityTerm}.${this.snapshot.generation}.${this.kid}"`;
    if (req.headers['if-none-match'] === etag() && query.get('waitSeconds') !== '0') {
      await new Promise<void>((resolve) => {
        this.held.add(resolve);
        this.onHeld();
        req.socket.once('close', resolve);
      });
      this.held.clear(); // one agent, one request
    }
    if (req.headers['if-none-match'] === etag()) return void res.writeHead(304, { etag: etag() }).end();
    const jws = await new CompactSign(Buffer.from(JSON.stringify(this.snapshot)))
      .setProtectedHeader({ alg: 'EdDSA', typ: 'rap-snapshot+jws', kid: this.kid })
      .sign(signing.privateKey);
    res.setHeader('etag', etag());
    json(res, 200, { jws, generation: this.snapshot.generation });
  }
}

async function bodyOf(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function json(res: ServerResponse, status: number, body: Body): void {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function problem(res: ServerResponse, status: number, code: string, detail: string): void {
  json(res, status, { code, detail });
}

/** What the agent logs, to be waited for. */
class Events {
  private readonly lines: Body[] = [];
  private readonly waiting = new Set<() => void>();
  readonly log = new Log('debug', (line) => {
    this.lines.push(JSON.parse(line) as Body);
    for (const look of this.waiting) look();
  });

  all(event: string): Body[] {
    return this.lines.filter((line) => line.event === event);
  }

  /** Resolves once there is an event like this one, also when it came before. */
  async seen(event: string, like: Body = {}): Promise<void> {
    const isThere = (): boolean => this.all(event).some((line) => matches(line, like));
    while (!isThere()) await new Promise<void>((resolve) => this.waiting.add(resolve));
  }
}

function matches(line: Body, like: Body): boolean {
  return Object.entries(like).every(([name, value]) => JSON.stringify(line[name]) === JSON.stringify(value));
}

let directory: string;
let plane: TinyControlPlane;
let events: Events;
let session: AgentSession;
let running: Promise<void>;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'agent-run-'));
  plane = new TinyControlPlane();
  await plane.start();
  await openSession();
  running = Promise.resolve();
});
afterEach(async () => {
  session.stop.abort();
  await running.catch(() => undefined);
  await plane.stop();
  await rm(directory, { recursive: true, force: true });
});

async function openSession(): Promise<void> {
  events = new Events();
  const { log } = events;
  const store = new StateStore(directory);
  await store.prepare();
  const presence = new ServerPresence(log);
  session = { store, clock: new ServerClock(), presence, log, stop: new AbortController() };
}

async function enrolled(): Promise<{ state: AgentState; key: NodeKey }> {
  const wish = {
    nodeName: 'edge-1',
    requestedRoles: ['vpn-exit'],
    discover: true,
    capabilities: [],
    facts: {},
  };
  const { state, key } = await prepareJoin(session.store, { baseUrl: plane.url, token, wish });
  const decided = await finishEnrollment(session, state, key, { token, wait: true });
  if (decided === null) throw new Error('stopped');
  return { state: decided, key };
}

async function started(): Promise<void> {
  const { state } = await enrolled();
  running = runNode(session, state);
  running.catch(() => undefined); // looked at by the test, or by afterEach
  await events.seen('snapshot.accepted');
  await plane.whenHeld();
}

const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);

const role = (name: string): Body => ({
  role: name,
  organizationId: null,
  policy: null,
  validFrom: null,
  validUntil: null,
});

describe('enrolling', () => {
  it('sends a proof that binds key, token and body, waits for the decision and keeps it', async () => {
    plane.pollsBeforeDecision = 1;
    const { state } = await enrolled();
    expect(state.enrollment).toMatchObject({ status: 'enrolled', nodeId: node, clusterId: cluster });
    expect(await session.store.readState()).toEqual(state);
    expect(plane.enrollments[0]).toMatchObject({ nodeName: 'edge-1', requestedRoles: ['vpn-exit'] });
    expect(JSON.stringify(state)).not.toContain(token);
  });

  it('repeats with the same key and token when the answer was lost', async () => {
    plane.loseNextAnswer = true;
    await enrolled();
    expect(plane.enrollments).toHaveLength(2);
    expect(plane.enrollments[1]?.publicKey).toEqual(plane.enrollments[0]?.publicKey);
  });

  it('corrects its clock by the time in the refusal', async () => {
    plane.clockOffsetMs = 7_200_000;
    await enrolled();
    expect(events.all('clock.corrected')).toHaveLength(1);
    expect(Math.abs(session.clock.offsetMs - 7_200_000)).toBeLessThan(60_000);
  });

  it('ends with exit code 3 and the reason when it is rejected', async () => {
    plane.decision = { status: 'rejected', rejectionReason: 'unknown host' };
    await expect(enrolled()).rejects.toMatchObject({
      exitCode: 3,
      message: 'not admitted: the join request was rejected: unknown host',
    });
  });
});

describe('a running node', () => {
  it('beats with a growing sequence and reports what it has applied', async () => {
    await started();
    const next = plane.heartbeats.length + 1; // a slow disk lets some come before the snapshot
    await events.seen('heartbeat.ok', { sequence: next + 1 });
    expect(plane.heartbeats.map((beat) => beat.sequence)).toEqual(upTo(next + 1));
    expect(new Set(plane.heartbeats.map((beat) => beat.agentInstanceId)).size).toBe(1);
    expect(plane.heartbeats[next]).toMatchObject({
      appliedGeneration: 1,
      authorityTermSeen: 1,
      peersSeen: [],
    });
  });

  it('sends a heartbeat whose answer was lost again, with its number', async () => {
    await started();
    await events.seen('heartbeat.ok', { sequence: 1 });
    const lost = plane.heartbeats.length + 1;
    plane.loseNextBeat = true;
    await events.seen('heartbeat.ok', { sequence: lost + 1 });
    expect(plane.heartbeats.map((beat) => beat.sequence)).toEqual([...upTo(lost), lost, lost + 1]);
  });

  it('takes on and gives up roles as its snapshot says', async () => {
    await started();
    plane.publish({ generation: 2, roles: [role('vpn-exit')] });
    await events.seen('roles.changed', { added: ['vpn-exit'], removed: [] });
    plane.publish({ generation: 3 });
    await events.seen('roles.changed', { added: [], removed: ['vpn-exit'] });
  });

  it('hears from its heartbeat of a snapshot whose wake-up was lost', async () => {
    await started();
    plane.snapshot = plane.content({ generation: 2 }); // nobody is woken
    await events.seen('snapshot.accepted', { generation: 2 });
  });

  it('refuses a snapshot for another node, keeps the old one and takes the next good one', async () => {
    await started();
    plane.publish({ generation: 2, nodeId: cluster });
    await events.seen('snapshot.refused', { reason: 'wrong_node' });
    plane.publish({ generation: 3 });
    await events.seen('snapshot.accepted', { generation: 3 });
    expect(events.all('snapshot.accepted').map((line) => line.generation)).toEqual([1, 3]);
  });

  it('learns the next signing key from a snapshot that the old one signed, and forgets the old one likewise', async () => {
    await started();
    const believed = async () => {
      const state = await session.store.readState();
      return state?.enrollment.status === 'enrolled'
        ? state.enrollment.snapshotKeys.map(({ kid }) => kid)
        : [];
    };
    plane.publish({ generation: 2, trust: { snapshotKeys: [plane.jwk('key-1'), plane.jwk('key-2')] } });
    await events.seen('snapshot.accepted', { generation: 2 });
    expect(await believed()).toEqual(['key-1', 'key-2']);
    plane.kid = 'key-2';
    plane.publish({ generation: 3, trust: { snapshotKeys: [plane.jwk('key-2')] } });
    await events.seen('snapshot.accepted', { generation: 3 });
    expect([await believed(), plane.askedForKeys]).toEqual([['key-2'], 0]);
    plane.kid = 'key-1';
    plane.publish({ generation: 4 });
    // Not believed any more: the cluster itself has to name it again.
    await events.seen('snapshot.accepted', { generation: 4 });
    expect(plane.askedForKeys).toBe(1);
  });

  it('learns a new signing key from the cluster when the key id is unknown', async () => {
    await started();
    plane.kid = 'key-2';
    plane.publish({ generation: 2 });
    await events.seen('snapshot.accepted', { generation: 2 });
    const state = await session.store.readState();
    expect(JSON.stringify(state?.enrollment)).toContain('key-2');
  });

  it('goes on by itself when the server was away', async () => {
    await started();
    await plane.stop();
    await events.seen('server.away');
    plane.snapshot = plane.content({ generation: 2 });
    await plane.start();
    await events.seen('server.back');
    await events.seen('snapshot.accepted', { generation: 2 });
  });

  it('starts on its last good snapshot while the server is away', async () => {
    plane.snapshot = plane.content({ roles: [role('vpn-exit')] });
    await started();
    session.stop.abort();
    await running;
    await plane.stop();
    await openSession();
    const state = await session.store.readState();
    if (state === null) throw new Error('no state');
    running = runNode(session, state);
    await events.seen('roles.changed', { added: ['vpn-exit'] });
    await events.seen('server.away');
  });

  it('stops within its held request, at once', async () => {
    await started();
    await events.seen('heartbeat.ok');
    session.stop.abort();
    await expect(running).resolves.toBeUndefined();
  });

  it('ends with exit code 4 when its identity is revoked, and asks once more when started again', async () => {
    await started();
    plane.isRevoked = true;
    await expect(running).rejects.toMatchObject({ exitCode: 4 });
    expect(events.all('refused')).toHaveLength(1);
    const state = await session.store.readState();
    expect(state?.refused?.reason).toBe('the identity is revoked');

    plane.isRevoked = false; // it had only been a mistake
    await openSession();
    if (state === null) throw new Error('no state');
    running = runNode(session, state);
    await events.seen('heartbeat.ok');
    expect((await session.store.readState())?.refused).toBeNull();
  });

  it('fails as an AgentFailure, so that the command prints one line', async () => {
    await started();
    plane.isRevoked = true;
    await expect(running).rejects.toBeInstanceOf(AgentFailure);
  });
});
