import { chmod, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentState, Contact, StoredSnapshot } from './agent-state.js';
import { readFileIfPresent, TEMPORARY_SUFFIX, writeFileAtomic } from './atomic-file.js';
import { AgentFailure } from './exit.js';
import { loadNodeKey, type NodeKey } from './keys.js';

/** What `rotate-key` leaves for a running agent. */
export const ROTATION_REQUEST_FILE = 'rotate-key.json';
/** The certificate, its key, and what the node trusts. */
export const TLS_FOLDER = 'tls';

/**
 * The agent's directory: `state.json`, `keys/<thumbprint>.json`, `snapshot.json`, `contact.json`. Every file
 * has mode 0600 and is replaced atomically. Only the process that holds the directory's lock writes.
 */
export class StateStore {
  private lastUpdate: Promise<unknown> = Promise.resolve();

  constructor(readonly directory: string) {}

  /** Makes the directory (mode 0700) and sweeps what a crash left. Call it while holding the lock. */
  async prepare(): Promise<void> {
    await mkdir(this.keys, { recursive: true, mode: 0o700 });
    for (const folder of [this.directory, this.keys]) {
      await chmod(folder, 0o700); // it may have been made by hand
      const names = await readdir(folder);
      const leftovers = names.filter((name) => name.startsWith('.') && name.endsWith(TEMPORARY_SUFFIX));
      await Promise.all(leftovers.map((name) => rm(join(folder, name), { force: true })));
    }
  }

  /** @throws AgentFailure when the file is not what this version of the agent writes */
  async readState(): Promise<AgentState | null> {
    const state = await this.read<AgentState>('state.json');
    if (state === null) return null;
    if (state.version !== 1) {
      throw new AgentFailure(`${this.path('state.json')} was written by another version of the agent`);
    }
    // Agents that could not rotate wrote neither.
    return { ...state, rotation: state.rotation ?? null, lastRotation: state.lastRotation ?? null };
  }

  async writeState(state: AgentState): Promise<void> {
    await this.write('state.json', state);
  }

  /** Reads, changes and writes the state; calls run one after another, so that none undoes another. */
  updateState(change: (state: AgentState) => AgentState): Promise<void> {
    const update = this.lastUpdate.then(async () => {
      const state = await this.readState();
      if (state !== null) await this.writeState(change(state));
    });
    this.lastUpdate = update.catch(() => undefined); // its own caller sees the error; the next one goes on
    return update;
  }

  /** @throws AgentFailure when the key that the state names is gone or damaged */
  async readKey(thumbprint: string): Promise<NodeKey> {
    const file = join('keys', `${thumbprint}.json`);
    const key = await loadNodeKey(await this.read<unknown>(file)).catch((cause: unknown) => {
      throw new AgentFailure(`the node's key ${this.path(file)} is missing or damaged`, 1, { cause });
    });
    if (key.thumbprint !== thumbprint) throw new AgentFailure(`${this.path(file)} holds another key`);
    return key;
  }

  async writeKey(key: NodeKey): Promise<void> {
    await this.write(join('keys', `${key.thumbprint}.json`), key.privateJwk);
  }

  /** Removes every key but those that the state names: what a change of keys left when it was cut short. */
  async removeKeysBut(thumbprints: readonly string[]): Promise<void> {
    const kept = new Set(thumbprints.map((thumbprint) => `${thumbprint}.json`));
    const gone = (await readdir(this.keys)).filter((name) => !kept.has(name));
    await Promise.all(gone.map((name) => rm(join(this.keys, name), { force: true })));
  }

  readSnapshot(): Promise<StoredSnapshot | null> {
    return this.read<StoredSnapshot>('snapshot.json');
  }

  async writeSnapshot(snapshot: StoredSnapshot): Promise<void> {
    await this.write('snapshot.json', snapshot);
  }

  readContact(): Promise<Contact | null> {
    return this.read<Contact>('contact.json');
  }

  async writeContact(contact: Contact): Promise<void> {
    await this.write('contact.json', contact);
  }

  /** Where the supervisor keeps a folder for each service that runs here. */
  get workloadsDirectory(): string {
    return this.path('workloads');
  }

  /**
   * Forgets what belongs to an earlier identity, so that nothing of another cluster stays behind. No service
   * may run any more.
   */
  async removeObservations(): Promise<void> {
    const gone = [
      'snapshot.json',
      'contact.json',
      ROTATION_REQUEST_FILE,
      TLS_FOLDER,
      'workloads',
      join('vpn', 'tokens.json'),
      join('vpn', 'given-back.json'),
    ];
    await Promise.all(gone.map((name) => rm(this.path(name), { force: true, recursive: true })));
  }

  private get keys(): string {
    return this.path('keys');
  }

  private path(name: string): string {
    return join(this.directory, name);
  }

  private async read<T>(name: string): Promise<T | null> {
    const text = await readFileIfPresent(this.path(name));
    if (text === null) return null;
    try {
      return JSON.parse(text) as T;
    } catch (cause) {
      throw new AgentFailure(`${this.path(name)} is not JSON: it was changed by hand or damaged`, 1, {
        cause,
      });
    }
  }

  private write(name: string, value: unknown): Promise<void> {
    return writeFileAtomic(this.path(name), `${JSON.stringify(value, null, 2)}\n`);
  }
}
