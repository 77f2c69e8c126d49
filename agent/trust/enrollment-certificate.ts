import { type Fields, optionalText } from '../answer-fields.js';
import type { Log } from '../log.js';
import type { ServerClock } from '../server-clock.js';
import { takeCertificate } from './certificate-intake.js';
import { CertificateRequests } from './certificate-requests.js';
import { TrustFiles } from './trust-files.js';
import { TrustStore } from './trust-store.js';
import { Untrusted } from './untrusted.js';

/** The certificate that comes with an enrollment; without it the running agent asks for one. */
export class EnrollmentCertificate {
  private readonly requests: CertificateRequests;

  constructor(
    private readonly stateDirectory: string,
    private readonly clock: ServerClock,
    private readonly log: Log,
  ) {
    this.requests = new CertificateRequests(new TrustFiles(stateDirectory));
  }

  /** The request to send along; the same for each repeat, so that what is reviewed does not change with it. */
  async csr(): Promise<string> {
    return (await this.requests.open('p256', null)).csr;
  }

  /** Stores the certificate of an approval, where there is one and it holds. */
  async take(answer: Fields, node: { nodeId: string; clusterId: string }): Promise<void> {
    const request = await this.requests.find();
    if (request === null || optionalText(answer, 'certificate') === null) return;
    const { key, keyType } = request;
    const store = await TrustStore.open(this.stateDirectory, node, this.log);
    const order = { ...node, key, wish: { keyType, lifetimeSeconds: null }, now: this.clock.now() };
    try {
      const { serial, notAfter } = await takeCertificate(store, answer, order);
      const fields = { serial, notAfter: notAfter.toISOString(), renewAfter: null };
      this.log.info('certificate.issued', { ...fields, reason: 'enrolled' });
    } catch (error) {
      if (!(error instanceof Untrusted)) throw error;
      this.log.error('certificate.untrusted', { reason: error.reason, detail: error.message });
      await this.requests.drop();
    }
  }
}
