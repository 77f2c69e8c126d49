import { Socket } from 'node:net';
import { messagesIn } from '../json-lines.js';
import { SLOT_NAMES, type SlotName } from './boot-record.js';
import { type AgentWord, LAUNCHED_VARIABLE, LINK_FD } from './launcher-protocol.js';

/** The agent's side of what it and its launcher tell each other. */
export class LauncherLink {
  private readonly lookers = new Set<() => void>();

  private constructor(
    /** Where this agent was started from. */
    readonly slot: SlotName,
    private readonly socket: Socket,
  ) {}

  /**
   * Null for an agent that no launcher has started.
   * @param onGone  called once when the launcher is gone: an agent without one must not go on beside the next one's
   */
  static open(onGone: () => void): LauncherLink | null {
    const slot = SLOT_NAMES.find((name) => name === process.env[LAUNCHED_VARIABLE]);
    if (slot === undefined) return null;
    const socket = new Socket({ fd: LINK_FD, readable: true, writable: true });
    socket.on('error', () => undefined); // its end is what counts
    socket.unref(); // an agent that fails must end
    const link = new LauncherLink(slot, socket);
    void link.listen().then(onGone);
    return link;
  }

  say(word: AgentWord): void {
    if (this.socket.writable) this.socket.write(`${JSON.stringify(word)}\n`);
  }

  /** Calls back whenever the boot record has changed. */
  onLook(look: () => void): void {
    this.lookers.add(look);
  }

  close(): void {
    this.socket.destroy();
  }

  private async listen(): Promise<void> {
    try {
      for await (const _ of messagesIn(this.socket)) for (const look of this.lookers) look();
    } catch {
      // Closed by this side, or the launcher was killed.
    }
  }
}
