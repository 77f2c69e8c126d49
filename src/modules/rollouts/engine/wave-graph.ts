/** A wave with the names of those that come before it. */
export interface WaveNode {
  name: string;
  dependsOn: readonly string[];
}

/** What is wrong with the dependencies of a wave. */
export interface GraphFault {
  wave: number;
  message: string;
}

/** Who names no dependencies follows the wave before it; an empty list says that there are none. */
export function withDependencies<W extends { name: string; dependsOn?: readonly string[] | undefined }>(
  waves: readonly W[],
): (W & WaveNode)[] {
  return waves.map((wave, index) => {
    const previous = waves[index - 1];
    const dependsOn = wave.dependsOn ?? (previous === undefined ? [] : [previous.name]);
    return { ...wave, dependsOn };
  });
}

/** Names that are there twice or not at all, and circles. */
export function graphFaults(waves: readonly WaveNode[]): GraphFault[] {
  const names = waves.map(({ name }) => name);
  const faults = waves.flatMap(({ name, dependsOn }, wave) => {
    if (names.indexOf(name) !== wave) return [{ wave, message: `Another wave is named ${name}.` }];
    const unknown = dependsOn.find((other) => !names.includes(other));
    return unknown === undefined ? [] : [{ wave, message: `There is no wave ${unknown}.` }];
  });
  if (faults.length > 0) return faults;
  const left = unreachable(waves);
  return left.map((wave) => ({ wave, message: 'The wave waits for itself.' }));
}

/** The waves that never come, since a circle is before them. */
function unreachable(waves: readonly WaveNode[]): number[] {
  const done = new Set<string>();
  let waiting = waves.map((_, index) => index);
  for (;;) {
    const ready = waiting.filter((index) => waves[index]?.dependsOn.every((name) => done.has(name)));
    if (ready.length === 0) return waiting;
    for (const index of ready) done.add(waves[index]?.name ?? '');
    waiting = waiting.filter((index) => !ready.includes(index));
  }
}
