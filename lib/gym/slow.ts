/** Which members a round leaves out as too slow: the coordinator's rule (lib/group/slow.ts), where all times are known. */

export interface Finisher {
  /** When its inner steps are done, in microseconds. */
  readonly at: number;
  /** It was left out since it last contributed, so that this round waits for it. */
  readonly spared: boolean;
}

/**
 * Indices of the members whose steps end more than the limit after those of the median member; none where fewer than
 * `membersMin` would be left.
 */
export function leftOut(
  members: readonly Finisher[],
  limitMicroseconds: number,
  membersMin: number,
): number[] {
  const times = members.map(({ at }) => at).sort((a, b) => a - b);
  const median = times[Math.floor(members.length / 2)];
  if (limitMicroseconds === 0 || median === undefined) return [];
  const slow = members.flatMap(({ at, spared }, index) =>
    !spared && at - median > limitMicroseconds ? [index] : [],
  );
  return members.length - slow.length < Math.max(1, membersMin) ? [] : slow;
}
