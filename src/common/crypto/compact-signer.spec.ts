import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compactVerify } from 'jose';
import { compactSigner } from './compact-signer.js';
import { newKeyPair } from './new-key-pair.js';

const { publicKey, privateKey } = newKeyPair('ed25519');

it('makes what a JOSE library verifies, whatever is signed', async () => {
  await fc.assert(
    fc.asyncProperty(fc.json(), fc.stringMatching(/^[a-z+-]{1,20}$/), async (payload, typ) => {
      const jws = compactSigner(privateKey, { typ, kid: 'key-1' })(payload);
      const verified = await compactVerify(jws, publicKey, { algorithms: ['EdDSA'] });
      expect(verified.protectedHeader).toEqual({ alg: 'EdDSA', typ, kid: 'key-1' });
      expect(new TextDecoder().decode(verified.payload)).toBe(payload);
    }),
    { numRuns: 50 },
  );
});
