import { X509Certificate } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { NodePrincipal } from '../../common/auth/principal.js';
import {
  conflict,
  DomainError,
  forbidden,
  unauthenticated,
  unavailable,
} from '../../common/errors/domain-error.js';
import { ServiceAddress } from '../../common/http/service-address.js';
import type { Actor } from '../../common/request/actor.js';
import { Transactor } from '../../common/transaction/transactor.js';
import type { Tx } from '../../common/transaction/tx.js';
import { AuthorityService } from '../authority/authority.service.js';
import { AssertionIds, membershipIssuer } from '../nodes/assertion-ids.js';
import { membershipOver } from '../nodes/membership.js';
import { MembershipsReadModel } from '../nodes/memberships.read-model.js';
import { MembershipsService } from '../nodes/memberships.service.js';
import { type KnownIdentity, NodeIdentities } from '../nodes/node-identities.js';
import type { NodeKey } from '../nodes/node-key.js';
import { type CertificateAuthority, trustBundle } from './authority.js';
import {
  CERTIFICATE_SECONDS,
  certificateIssued,
  type NodeCertificate,
  newSerial,
  renewalWindow,
  validity,
} from './certificate.js';
import { checkCertificateAssertion, type HeldAssertion } from './certificate-assertion.js';
import { CertificateAuthorities } from './certificate-authorities.js';
import { CertificatesRepository } from './certificates.repository.js';
import type { IssuedCertificate, RequestCertificate } from './certificates.schema.js';
import { keyNotFresh, readCsr } from './csr.js';
import { makeLeaf } from './x509.js';

/** What a certificate is made from, as it stood when the request came. */
interface Grounds {
  authority: CertificateAuthority;
  /** PEM of all roots. */
  bundle: string;
  identity: KnownIdentity;
  now: Date;
}

/** Issues certificates to nodes. */
@Injectable()
export class CertificateIssuing {
  constructor(
    private readonly transactor: Transactor,
    private readonly certificates: CertificatesRepository,
    private readonly authorities: CertificateAuthorities,
    private readonly clusterAuthority: AuthorityService,
    private readonly identities: NodeIdentities,
    private readonly memberships: MembershipsService,
    private readonly members: MembershipsReadModel,
    private readonly assertionIds: AssertionIds,
    private readonly address: ServiceAddress,
  ) {}

  /**
   * Issues a certificate over the key of a CSR. It is signed before the transaction opens, since the signer may be far
   * away, and comes to nothing when the transaction refuses it.
   * @param alongside is done in the same transaction, with the certificate in PEM; what it throws undoes all
   * @throws invalid `csr_invalid`; unauthenticated `proof_invalid`; forbidden `membership_disabled`;
   * conflict `cluster_not_authoritative`
   */
  async issue(
    actor: Actor,
    { clusterId, nodeId, identityId }: NodePrincipal,
    { csr, assertion, lifetimeSeconds = CERTIFICATE_SECONDS }: z.infer<typeof RequestCertificate>,
    alongside?: (tx: Tx, certificate: string) => Promise<void>,
  ): Promise<IssuedCertificate> {
    const requested = readCsr(csr);
    const { authority, bundle, identity, now } = await this.grounds(clusterId, nodeId);
    if (requested.thumbprint === identity.key.thumbprint)
      throw keyNotFresh('It is the identity key of the node.');
    const held =
      assertion === undefined
        ? null
        : await this.checkAssertion(assertion, { identity: identity.key, clusterId, nodeId, csr, now });
    const { validToDate } = readCertificate(authority.certificate);
    const certificate: NodeCertificate = {
      clusterId,
      nodeId,
      // Who shows the key may ask with any token of the node; who does not is known by the token alone.
      identityId: held === null ? identityId : identity.id,
      serial: newSerial(),
      authorityKid: authority.kid,
      keyThumbprint: requested.thumbprint,
      issuedAt: now,
      ...validity(now, lifetimeSeconds, validToDate),
      revokedAt: null,
      revocationReason: null,
    };
    const issuer = authority.certificate;
    const crlUrl = `${this.address.publicUrl}/api/v1/clusters/${clusterId}/trust/crl?authority=${authority.kid}`;
    const signing = this.authorities.signing(clusterId, authority);
    const pem = await makeLeaf({ ...certificate, publicKey: requested.key, issuer, crlUrl }, signing);
    return this.transactor.mutateDirect(actor, async (tx) => {
      await this.admitRequest(tx, certificate, identityId, held);
      if (!(await this.certificates.insert(tx, certificate)))
        throw unavailable('unavailable', 'The authority was rotated meanwhile.', { retryAfterSeconds: 1 });
      await this.identities.noteCertificate(tx, clusterId, nodeId, certificate);
      await alongside?.(tx, pem);
      return {
        result: issued(certificate, pem, bundle),
        events: [certificateIssued(certificate, held !== null)],
      };
    });
  }

  private grounds(clusterId: string, nodeId: string): Promise<Grounds> {
    return this.transactor.read(async (tx) => {
      const authorities = await this.authorities.list(tx, clusterId);
      const authority = authorities.find(({ phase }) => phase === 'active');
      if (authority === undefined)
        throw new Error(`cluster ${clusterId} has no active certificate authority`);
      const identity = await this.identities.active(tx, clusterId, nodeId);
      if (identity === null) throw membershipOver();
      return { authority, bundle: trustBundle(authorities).pem, identity, now: tx.now };
    });
  }

  private async checkAssertion(
    assertion: string,
    request: { identity: NodeKey; clusterId: string; nodeId: string; csr: string; now: Date },
  ): Promise<HeldAssertion> {
    const { identity: key, clusterId, nodeId, csr, now } = request;
    const acceptsAudience = (aud: string | string[] | undefined) => this.address.audience.accepts(aud);
    const verdict = await checkCertificateAssertion(assertion, {
      key,
      clusterId,
      nodeId,
      csr,
      acceptsAudience,
      now,
    });
    if ('jti' in verdict) return verdict;
    throw this.assertionRefused(verdict.detail, now);
  }

  private assertionRefused(detail: string, now: Date): DomainError {
    return unauthenticated('proof_invalid', `The assertion is not acceptable: ${detail}`, {
      extensions: { serverTime: now.toISOString(), expectedAudience: this.address.publicUrl },
    });
  }

  /** Everything that may forbid it and that another transaction could change meanwhile. */
  private async admitRequest(
    tx: Tx,
    certificate: NodeCertificate,
    callerId: string,
    held: HeldAssertion | null,
  ): Promise<void> {
    const { clusterId, nodeId, keyThumbprint } = certificate;
    const cluster = await this.clusterAuthority.hold(tx, clusterId, true);
    const member = await this.memberships.requireMember(tx, clusterId, nodeId).catch((error: unknown) => {
      throw error instanceof DomainError ? membershipOver(error) : error;
    });
    // The guard may know it from before the revocation, on another instance.
    if (await this.identities.isAnyRevoked(tx, [callerId, certificate.identityId])) throw membershipOver();
    if (member.membershipStatus === 'disabled')
      throw forbidden('membership_disabled', 'The membership is disabled: it gets no certificate.');
    await this.requireAuthority(tx, cluster?.state, certificate);
    if (
      held !== null &&
      !(await this.assertionIds.take(membershipIssuer(certificate), held.jti, held.rememberUntil, tx))
    )
      throw this.assertionRefused('It was used before.', tx.now);
    if ((await this.members.identitiesByKeys(tx, [keyThumbprint])).length > 0)
      throw keyNotFresh('It is the identity key of a node.');
    if (await this.certificates.isKeyOfAnother(tx, keyThumbprint, clusterId, nodeId))
      throw keyNotFresh('It is the key of another certificate.');
  }

  /** A first certificate spreads trust and waits for authority; a renewal goes on while the cluster is degraded. */
  private async requireAuthority(
    tx: Tx,
    state: string | undefined,
    { clusterId, nodeId }: NodeCertificate,
  ): Promise<void> {
    if (state === 'authoritative') return;
    if (state === 'degraded' && (await this.certificates.latest(tx, clusterId, nodeId)) !== null) return;
    throw conflict(
      'cluster_not_authoritative',
      `The cluster is ${state ?? 'gone'}: nothing that spreads trust may change.`,
      { extensions: { authorityState: state } },
    );
  }
}

function issued(certificate: NodeCertificate, pem: string, trustBundlePem: string): IssuedCertificate {
  const { serial, notBefore, notAfter } = certificate;
  return {
    certificate: pem,
    // The root issues by itself: nothing stands between it and the certificate.
    certificateChain: '',
    trustBundle: trustBundlePem,
    serial,
    notBefore: notBefore.toISOString(),
    notAfter: notAfter.toISOString(),
    renewAfter: renewalWindow(certificate).renewAfter.toISOString(),
  };
}

function readCertificate(pem: string): { validToDate: Date } {
  return { validToDate: new Date(new X509Certificate(pem).validTo) };
}
