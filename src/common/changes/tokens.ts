/** Injection token of the wake-ups. */
export const WAKE_UPS = Symbol('WakeUps');
