/** An answer whose status or headers depend on what was done: a PUT that created, a poll that found nothing new. */
export class WithStatus<T> {
  constructor(
    readonly status: number,
    readonly body: T,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {}
}
