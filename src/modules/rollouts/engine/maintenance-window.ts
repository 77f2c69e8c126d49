export const WEEKDAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export type Weekday = (typeof WEEKDAYS)[number];

/** Hours of the week, by the clock on the wall in a zone. */
export interface MaintenanceWindow {
  /** IANA name. */
  timeZone: string;
  /** Days on which it opens; absent: each. */
  days?: readonly Weekday[] | undefined;
  /** `HH:MM`. */
  from: string;
  /** `HH:MM`, exclusive. Not later than `from`: on the next day. */
  to: string;
}

/** Whether nodes may be taken out of service at `now`: always, where no window is named. */
export function isWindowOpen(windows: readonly MaintenanceWindow[], now: Date): boolean {
  return windows.length === 0 || windows.some((window) => isOpen(window, now));
}

/** A name: some versions of Node take offsets such as `+01:00` for zones, and others fail by them. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    new Intl.DateTimeFormat('en-GB', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

function isOpen({ timeZone, days = WEEKDAYS, from, to }: MaintenanceWindow, now: Date): boolean {
  const { day, time } = wallClock(timeZone, now);
  const opensToday = days.includes(day);
  if (from < to) return opensToday && time >= from && time < to;
  return (opensToday && time >= from) || (days.includes(dayBefore(day)) && time < to);
}

/** The times are of one length, so that they compare as text. */
function wallClock(timeZone: string, now: Date): { day: Weekday; time: string } {
  const parts = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).formatToParts(now);
  const part = (type: string) => parts.find((each) => each.type === type)?.value ?? '';
  return { day: part('weekday').toLowerCase() as Weekday, time: `${part('hour')}:${part('minute')}` };
}

function dayBefore(day: Weekday): Weekday {
  return WEEKDAYS[(WEEKDAYS.indexOf(day) + 6) % 7] ?? day;
}
