import { readdirSync, readFileSync } from 'node:fs';

/** Of the clock in /proc, on every Linux that Node runs on. */
const TICKS_A_SECOND = 100;
/** Places in /proc/<pid>/stat behind the command, which may hold anything. */
const PARENT = 1;
const USER = 11;
const SYSTEM = 12;

/** Processor seconds that a process has used; null where /proc does not tell. */
export function cpuSecondsOf(pid) {
  const stat = statOf(pid);
  return stat === null ? null : (Number(stat[USER]) + Number(stat[SYSTEM])) / TICKS_A_SECOND;
}

/** The same of a process and each of its children, by process; null where /proc does not tell. */
export function cpuSecondsOfFamily(pid) {
  if (process.platform !== 'linux') return null;
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const family = all.filter((each) => each === String(pid) || statOf(each)?.[PARENT] === String(pid));
  return new Map(family.map((each) => [each, cpuSecondsOf(each) ?? 0]));
}

/** What a family has used between two looks; those that have ended meanwhile are missed. */
export function familyUsed(before, after) {
  return [...after].reduce((sum, [pid, seconds]) => sum + seconds - (before.get(pid) ?? 0), 0);
}

/** The process that has started another one. */
export function parentOf(pid) {
  const stat = statOf(pid);
  return stat === null ? null : Number(stat[PARENT]);
}

function statOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}
