/** Systems that hosts are, and that files are for. */
export const OPERATING_SYSTEMS = ['linux', 'windows', 'darwin', 'android'] as const;
export const ARCHITECTURES = ['x64', 'arm64'] as const;

/** The system of a host by what it says of itself. What is missing, or is no such system, says nothing. */
export function systemIn(facts: Readonly<Record<string, unknown>>): {
  os: string | null;
  arch: string | null;
} {
  return {
    os: OPERATING_SYSTEMS.find((os) => os === facts.os) ?? null,
    arch: ARCHITECTURES.find((arch) => arch === facts.arch) ?? null,
  };
}
