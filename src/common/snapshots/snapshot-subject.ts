/** The node whose snapshot is to be explained, and what the snapshot holds. */
export class SnapshotSubject {
  constructor(
    readonly clusterId: string,
    readonly nodeId: string,
    private readonly content: Readonly<Record<string, unknown>>,
  ) {}

  /** Pointers to the roles that fulfil a condition. */
  rolesThat(fits: (role: { role: string; organizationId: string | null }) => boolean): string[] {
    const roles = this.member<{ role: string; organizationId: string | null }[]>('roles');
    return roles.flatMap((role, index) => (fits(role) ? [`/roles/${index}`] : []));
  }

  /** A member of the content, for whoever fills it and so knows its shape. */
  member<T>(name: string): T {
    return this.content[name] as T;
  }
}
