/** Who does something, as the audit log names it. */
export interface Actor {
  type: 'user' | 'api_token' | 'bootstrap' | 'node' | 'system' | 'anonymous';
  /** null only for `anonymous`. */
  id: string | null;
  displayName: string;
  ip: string | null;
  userAgent: string | null;
}

/** The service itself: its workers, and what it decides without being asked. */
export function systemActor(part: string): Actor {
  return { type: 'system', id: part, displayName: part, ip: null, userAgent: null };
}
