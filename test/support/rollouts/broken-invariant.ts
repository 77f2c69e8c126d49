/** Which invariant was broken, and how. */
export class BrokenInvariant extends Error {
  constructor(
    readonly invariant: string,
    message: string,
  ) {
    super(`${invariant}: ${message}`);
  }
}

export function expectThat(invariant: string, holds: boolean, message: string): void {
  if (!holds) throw new BrokenInvariant(invariant, message);
}
