import { readFileSync, writeFileSync } from 'node:fs';

/** Lets the peak of a process begin where it is now; elsewhere than on Linux it does nothing. */
export function forgetPeakOf(pid) {
  if (process.platform === 'linux') writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** Most resident memory of a process since then, in bytes; null where /proc does not tell. */
export function peakOf(pid) {
  if (process.platform !== 'linux') return null;
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
}
