/** Why something that was to be trusted is not; the reasons appear in the log. */
export type UntrustedReason =
  | 'malformed'
  | 'another_key'
  | 'another_node'
  | 'another_cluster'
  | 'no_authority'
  | 'no_path_to_bundle'
  | 'out_of_time'
  | 'bad_signature'
  | 'another_bundle'
  | 'older_than_held'
  | 'older_than_announced';

/** What the control plane sent does not hold; it is not stored, and asked for again later. */
export class Untrusted extends Error {
  constructor(
    readonly reason: UntrustedReason,
    detail: string,
    options?: ErrorOptions,
  ) {
    super(detail, options);
    this.name = 'Untrusted';
  }
}
