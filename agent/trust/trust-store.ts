import type { Log } from '../log.js';
import { CertificateRequests } from './certificate-requests.js';
import { type CertificateNotes, type NodeCertificate, readNodeCertificate } from './node-certificate.js';
import { pem, pemBlocks, pemBytes } from './pem.js';
import { type RevocationList, readRevocationList } from './revocation-list.js';
import { readTrustBundle, type TrustBundle } from './trust-bundle.js';
import { TrustFiles, type TrustTexts } from './trust-files.js';
import type { TrustNotes } from './trust-summary.js';
import { Untrusted } from './untrusted.js';

/** By what a node is trusted, and whom it trusts; all of one cluster. */
export interface Trust {
  certificate: NodeCertificate | null;
  bundle: TrustBundle | null;
  /** At most one of each root of the bundle. */
  lists: readonly RevocationList[];
}

const CERTIFICATE = 'CERTIFICATE';
const CRL = 'X509 CRL';

/** The revocation epoch that the node applies: that of the oldest list; null while a root of the bundle has none. */
export function appliedEpoch({ bundle, lists }: Trust): number | null {
  if (bundle === null) return null;
  const epochs = bundle.roots.map(({ kid }) => lists.find((list) => list.authorityKid === kid)?.epoch);
  const known = epochs.filter((epoch) => epoch !== undefined);
  return known.length < epochs.length ? null : Math.min(...known);
}

/** Keeps what is trusted in memory and on disk, the disk first. One for each state directory. */
export class TrustStore {
  private last: Promise<unknown> = Promise.resolve();
  private readonly followers: (() => void)[] = [];

  /** The request for the next certificate. */
  readonly requests: CertificateRequests;

  private constructor(
    private readonly files: TrustFiles,
    private held: Trust,
  ) {
    this.requests = new CertificateRequests(files);
  }

  /** Reads and verifies what is on disk, its age apart; what does not hold is said, and left out. */
  static async open(
    stateDirectory: string,
    node: { nodeId: string; clusterId: string },
    log: Log,
  ): Promise<TrustStore> {
    const files = new TrustFiles(stateDirectory);
    await files.prepare();
    const texts = await files.read();
    const believe = async <T>(what: string, read: () => Promise<T>, otherwise: T): Promise<T> => {
      try {
        return await read();
      } catch (error) {
        if (!(error instanceof Untrusted) && !(error instanceof SyntaxError)) throw error;
        log.error('trust.stored_refused', { what, detail: error.message });
        return otherwise;
      }
    };
    const bundle = await believe('bundle', () => bundleIn(texts, node.clusterId), null);
    if (bundle === null) return new TrustStore(files, { certificate: null, bundle, lists: [] });
    const certificate = await believe('certificate', async () => certificateIn(texts, node, bundle), null);
    const lists = await believe('lists', () => listsIn(texts, bundle), []);
    return new TrustStore(files, { certificate, bundle, lists });
  }

  get current(): Trust {
    return this.held;
  }

  /** Calls `follower` after each change. */
  onChange(follower: () => void): void {
    this.followers.push(follower);
  }

  /** Changes what is held; durable when this returns. Calls run one after another. */
  update(change: (held: Trust) => Trust): Promise<void> {
    const done = this.last.then(async () => {
      const next = change(this.held);
      await this.files.write(textsOf(next));
      this.held = next;
      for (const follower of this.followers) follower();
    });
    this.last = done.catch(() => undefined);
    return done;
  }
}

async function bundleIn({ bundle }: TrustTexts, clusterId: string): Promise<TrustBundle | null> {
  return bundle === undefined ? null : readTrustBundle(bundle, { clusterId, now: null });
}

function certificateIn(
  { key, certificate, chain = '', notes }: TrustTexts,
  node: { nodeId: string; clusterId: string },
  bundle: TrustBundle,
): NodeCertificate | null {
  if (key === undefined || certificate === undefined || notes === undefined) return null;
  const kept = (JSON.parse(notes) as TrustNotes).certificate;
  if (kept === null) return null;
  const intermediates = pemBlocks(chain, CERTIFICATE).slice(1).join('\n');
  const { keyType, lifetimeSeconds, obtainedAt, renewAfter } = kept;
  const own: CertificateNotes = { keyType, lifetimeSeconds, obtainedAt, renewAfter };
  return readNodeCertificate({ key, certificate, intermediates }, own, { ...node, bundle, now: null });
}

async function listsIn({ lists = '' }: TrustTexts, bundle: TrustBundle): Promise<RevocationList[]> {
  const read = pemBlocks(lists, CRL).map(async (block) => {
    for (const root of bundle.roots) {
      const list = await readRevocationList(pemBytes(block), root, null).catch(() => null);
      if (list !== null) return list;
    }
    throw new Untrusted('bad_signature', 'a stored revocation list is not that of a root of the bundle');
  });
  return Promise.all(read);
}

function textsOf({ certificate, bundle, lists }: Trust): TrustTexts {
  const notes: TrustNotes = {
    certificate: certificate && {
      keyType: certificate.keyType,
      lifetimeSeconds: certificate.lifetimeSeconds,
      obtainedAt: certificate.obtainedAt,
      renewAfter: certificate.renewAfter,
    },
    bundleFingerprint: bundle?.fingerprint ?? null,
    revocationEpochApplied: appliedEpoch({ certificate, bundle, lists }),
  };
  return {
    notes: `${JSON.stringify(notes, null, 2)}\n`,
    ...(certificate !== null && {
      key: certificate.key,
      certificate: certificate.certificate,
      chain: `${certificate.certificate.trimEnd()}\n${certificate.intermediates}`,
    }),
    ...(bundle !== null && { bundle: bundle.pem }),
    ...(lists.length > 0 && { lists: lists.map(({ der }) => pem(CRL, der)).join('') }),
  };
}
