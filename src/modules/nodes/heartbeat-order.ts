/** A running agent, by the last heartbeat that was seen of it. */
export interface SeenInstance {
  instanceId: string;
  sequence: number;
}

/** What is remembered of a node's heartbeats. An agent that sends no instance id can be told from nobody. */
export interface LastBeat {
  instanceId: string | null;
  sequence: number;
  /** The instance before, so that a restart is told from two agents that take turns. */
  previous: SeenInstance | null;
}

/** How a heartbeat follows on the last one. */
export type BeatVerdict =
  /** No instance id: nothing can be said, and it is taken as the newest. */
  | 'anonymous'
  | 'next'
  /** Delivered twice, or sent again after a lost answer. */
  | 'repeated'
  /** Another instance: the agent was restarted. */
  | 'started'
  /** The last heartbeat of the instance before, delivered once more or late. */
  | 'echo'
  /** A sequence that is lower than one of the same instance before. */
  | 'went_back'
  /** The instance before goes on although another one has started since. */
  | 'returned';

/** Why a node's key is thought to be used by two agents. */
export type CloneSign = 'sequence_went_back' | 'instances_alternate';

/** As `node_liveness.clone_sign` holds it. */
export const CLONE_SIGNS: Readonly<Record<number, CloneSign>> = {
  1: 'sequence_went_back',
  2: 'instances_alternate',
};

/** What is made of a heartbeat. */
export interface JudgedBeat {
  verdict: BeatVerdict;
  sign: CloneSign | null;
  /** Whether what it says of the node is newer than what is known. */
  isNews: boolean;
  next: LastBeat;
}

const SIGN_OF: Partial<Record<BeatVerdict, CloneSign>> = {
  went_back: 'sequence_went_back',
  returned: 'instances_alternate',
};

/**
 * The rule by which a clone is told from a restart and from a delivery that came twice. The statement that writes
 * heartbeats decides by the same rule in SQL, since only there the last one is known for sure; a test compares the two.
 */
export function judgeBeat(
  last: LastBeat | null,
  beat: { instanceId: string | null; sequence: number },
): JudgedBeat {
  if (last === null) {
    const next = { ...beat, previous: null };
    return { verdict: beat.instanceId === null ? 'anonymous' : 'started', sign: null, isNews: true, next };
  }
  const verdict = verdictOn(last, beat);
  const isNews = verdict !== 'echo' && verdict !== 'went_back';
  return { verdict, sign: SIGN_OF[verdict] ?? null, isNews, next: isNews ? follow(last, beat) : last };
}

function verdictOn(
  { instanceId, sequence, previous }: LastBeat,
  beat: { instanceId: string | null; sequence: number },
): BeatVerdict {
  if (beat.instanceId === null) return 'anonymous';
  if (beat.instanceId === instanceId) return compare(beat.sequence, sequence, 'next', 'repeated');
  if (beat.instanceId === previous?.instanceId)
    return compare(beat.sequence, previous.sequence, 'returned', 'echo');
  return 'started';
}

function compare(sequence: number, last: number, later: BeatVerdict, same: BeatVerdict): BeatVerdict {
  if (sequence < last) return 'went_back';
  return sequence === last ? same : later;
}

function follow(last: LastBeat, beat: { instanceId: string | null; sequence: number }): LastBeat {
  if (beat.instanceId === null) return last.instanceId === null ? { ...last, sequence: beat.sequence } : last;
  if (beat.instanceId === last.instanceId) return { ...last, sequence: beat.sequence };
  const previous =
    last.instanceId === null ? last.previous : { instanceId: last.instanceId, sequence: last.sequence };
  return { instanceId: beat.instanceId, sequence: beat.sequence, previous };
}
