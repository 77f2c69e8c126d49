import { createHash, createHmac, type KeyObject } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { type CompactJWSHeaderParameters, CompactSign } from 'jose';
import { newKeyPair } from '../../common/crypto/new-key-pair.js';
import { readNodeKey } from '../nodes/node-key.js';
import { bodyHashOf, checkProof, type ProofRule } from './enrollment-proof.js';

const now = new Date('2026-11-23T08:00:00.000Z');
const iat = now.getTime() / 1000;
const token = 'fjt_some_token';
const tokenHash = createHash('sha256').update(token).digest('base64url');
const ed25519 = newKeyPair('ed25519');
const p256 = newKeyPair('p256');
const sentBody = { token, nodeName: 'edge-1', somethingNew: [1], proof: 'the proof' };
const claims = { jti: 'one', iat, aud: 'http://here', tokenHash };

const rule = (publicKey: KeyObject = ed25519.publicKey): ProofRule => ({
  key: readNodeKey(publicKey.export({ format: 'jwk' })),
  token,
  sentBody,
  acceptsAudience: (aud) => aud === 'http://here',
  now,
});

function sign(
  payload: unknown,
  key: KeyObject = ed25519.privateKey,
  header: CompactJWSHeaderParameters = { alg: 'EdDSA' },
): Promise<string> {
  return new CompactSign(Buffer.from(JSON.stringify(payload))).setProtectedHeader(header).sign(key);
}

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('checkProof', () => {
  it('takes a proof by an Ed25519 key', async () => {
    expect(await checkProof(await sign(claims), rule())).toEqual({ clockSkewSeconds: 0 });
  });

  it('takes a proof by a P-256 key', async () => {
    const proof = await sign(claims, p256.privateKey, { alg: 'ES256' });
    expect(await checkProof(proof, rule(p256.publicKey))).toEqual({ clockSkewSeconds: 0 });
  });

  it('tells how far the clock of the node is off', async () => {
    expect(await checkProof(await sign({ ...claims, iat: iat - 600 }), rule())).toEqual({
      clockSkewSeconds: -600,
    });
  });

  it('covers members that this version does not know by bodyHash', async () => {
    const bodyHash = bodyHashOf(sentBody);
    expect(await checkProof(await sign({ ...claims, bodyHash }), rule())).toEqual({ clockSkewSeconds: 0 });
    const altered = { ...rule(), sentBody: { ...sentBody, somethingNew: [2] } };
    expect(await checkProof(await sign({ ...claims, bodyHash }), altered)).toMatchObject({ fault: 'body' });
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['another audience', { aud: 'http://there' }, 'audience'],
    ['no audience', { aud: undefined }, 'audience'],
    ['an audience that is no text', { aud: [{}] }, 'audience'],
    ['a proof for another token', { tokenHash: 'x' }, 'token'],
    ['a proof for no token', { tokenHash: undefined }, 'token'],
    ['a proof for another body', { bodyHash: 'x' }, 'body'],
    ['a bodyHash that is no text', { bodyHash: null }, 'body'],
    ['no jti', { jti: undefined }, 'claims'],
    ['a jti that is no text', { jti: 7 }, 'claims'],
    ['no iat', { iat: undefined }, 'claims'],
    ['an iat that is no number', { iat: String(iat) }, 'claims'],
    ['a clock too far ahead', { iat: iat + 601 }, 'time'],
    ['a clock too far behind', { iat: iat - 601 }, 'time'],
  ])('refuses %s', async (_, change, fault) => {
    expect(await checkProof(await sign({ ...claims, ...change }), rule())).toMatchObject({ fault });
  });

  it('refuses what the key in the body did not sign', async () => {
    const another = newKeyPair('ed25519');
    expect(await checkProof(await sign(claims, another.privateKey), rule())).toMatchObject({
      fault: 'signature',
    });
  });

  it('refuses to believe a key or an algorithm that the header brings along', async () => {
    const another = newKeyPair('ed25519');
    const jwk = another.publicKey.export({ format: 'jwk' });
    const proof = await sign(claims, another.privateKey, { alg: 'EdDSA', jwk });
    expect(await checkProof(proof, rule())).toMatchObject({ fault: 'signature' });
  });

  it.each(['none', 'None', 'NONE', ''])('refuses alg "%s"', async (alg) => {
    expect(await checkProof(`${part({ alg })}.${part(claims)}.`, rule())).toMatchObject({
      fault: 'signature',
    });
  });

  it('refuses an HMAC made with the public key', async () => {
    const secret = ed25519.publicKey.export({ format: 'der', type: 'spki' });
    const input = `${part({ alg: 'HS256' })}.${part(claims)}`;
    const proof = `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
    expect(await checkProof(proof, rule())).toMatchObject({ fault: 'signature' });
  });

  it('refuses a proof of one kind of key under the algorithm of the other', async () => {
    const proof = await sign(claims, p256.privateKey, { alg: 'ES256' });
    expect(await checkProof(proof, rule())).toMatchObject({ fault: 'signature' });
  });

  it('refuses critical headers that it does not know', async () => {
    const [, payload, signature] = (await sign(claims)).split('.');
    const header = part({ alg: 'EdDSA', crit: ['exp'], exp: 1 });
    expect(await checkProof(`${header}.${payload}.${signature}`, rule())).toMatchObject({
      fault: 'signature',
    });
  });

  it.each(['', '.', '..', 'a.b.c', 'no jws', `${part({ alg: 'EdDSA' })}.${part([])}`])(
    'refuses "%s"',
    async (proof) => {
      expect(await checkProof(proof, rule())).toMatchObject({ fault: 'signature' });
    },
  );

  it.each<[string, unknown]>([
    ['a list', [claims]],
    ['a number', 7],
    ['null', null],
  ])('refuses a payload that is %s', async (_, payload) => {
    const verdict = await checkProof(await sign(payload), rule());
    expect(verdict).toHaveProperty('fault');
  });
});
