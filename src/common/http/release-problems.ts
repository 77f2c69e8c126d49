import { entry, type ProblemTable } from './problem-entry.js';

/** What may be wrong with releases, their keys and their files. */
export const RELEASE_PROBLEMS = {
  publisher_may_not_approve: entry(
    403,
    'Publisher may not approve',
    'The policy of the platform keeps whoever published a release from approving it.',
    'Another operator approves the release, or the policy allows releaseSelfApproval.',
  ),
  product_exists: entry(
    409,
    'Product exists',
    'There is a product of this name.',
    'Use it, or take another name.',
  ),
  signing_key_exists: entry(
    409,
    'Signing key exists',
    'The same key is registered already, under this id or another, and perhaps revoked.',
    'Make a new key.',
  ),
  version_exists: entry(
    409,
    'Version exists',
    'The product has this version already, or one that differs in build metadata alone. A published version never changes.',
    'Publish it under a new version.',
  ),
  release_not_approved: entry(
    409,
    'Release not approved',
    'Only approved releases leave the service or are pointed to.',
    'Approve the release first.',
  ),
  release_blocked: entry(
    409,
    'Release blocked',
    'The release is blocked; the detail has the reason.',
    'Use another version, or unblock it.',
  ),
  artifact_not_stored: entry(
    409,
    'Artifact not stored',
    'The release names this file, and its bytes have not been uploaded yet.',
    'Upload it with PUT.',
  ),
  signature_invalid: entry(
    422,
    'Signature invalid',
    'No signature is by a key that signs for the product, or one is not by the key that it names.',
    'Sign the payload byte for byte, with its type, by keys that are registered for the product and not revoked.',
  ),
  signature_threshold_not_met: entry(
    422,
    'Too few signatures',
    'Fewer different keys have signed than the product wants; revoked ones do not count.',
    'Let further people sign the same payload.',
  ),
  manifest_invalid: entry(
    422,
    'Manifest invalid',
    'The signed payload is no release manifest, or has something that is not taken.',
    'See errors, whose pointers lead into the manifest; mend it and sign it again.',
  ),
  digest_mismatch: entry(
    422,
    'Digest mismatch',
    'The bytes are not those that the manifest names: their digest or their number is another. Nothing was kept.',
    'Upload the file that was signed.',
  ),
  range_not_satisfiable: entry(
    416,
    'Range not satisfiable',
    'None of the bytes that Range asks for exists.',
    'Content-Range tells how many there are.',
  ),
} as const satisfies ProblemTable;
