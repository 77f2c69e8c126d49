import { describe, expect, it } from '@jest/globals';
import type { RevocationList } from '../trust/revocation-list.js';
import { memberOf } from './member-tls.js';

const CLUSTER = '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21';
const NODE = '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c22';
const listing = (...serials: string[]) => [{ serials: new Set(serials) } as unknown as RevocationList];
const of = (subjectAltName: string | undefined, lists: RevocationList[] = []) =>
  memberOf({ subjectAltName, serialNumber: 'AB' }, CLUSTER, { lists });

describe('who a certificate is for', () => {
  it('is a member of this cluster, by its only name', () => {
    expect(of(`URI:spiffe://${CLUSTER}/node/${NODE}`, listing('CD'))).toEqual({ nodeId: NODE });
  });

  it.each([
    ['a node of another cluster', `URI:spiffe://${NODE}/node/${NODE}`],
    ['the cluster itself', `URI:spiffe://${CLUSTER}`],
    ['no node id', `URI:spiffe://${CLUSTER}/node/x`],
    ['another name too', `URI:spiffe://${CLUSTER}/node/${NODE}, DNS:example.com`],
    ['a name before it', `DNS:example.com, URI:spiffe://${CLUSTER}/node/${NODE}`],
    ['nobody', undefined],
  ])('is nobody for %s', (_, name) => expect(of(name)).toEqual({ refused: 'another_name' }));

  it('is nobody once a list names it', () => {
    const name = `URI:spiffe://${CLUSTER}/node/${NODE}`;
    expect(of(name, [...listing('CD'), ...listing('AB')])).toEqual({ refused: 'revoked' });
  });
});
