import type { Supervisor } from '../supervisor/supervisor.js';
import type { UpdateUnderWay } from './update-record.js';

/** The service that is kept at rest while its update changes what it is run from. */
export class HeldService {
  private serviceType: string | null = null;

  constructor(private readonly supervisor: Supervisor) {}

  get isHeld(): boolean {
    return this.serviceType !== null;
  }

  hold({ serviceType, state, to }: UpdateUnderWay): void {
    const why =
      state === 'fenced'
        ? `fenced: the way to ${to.version} failed, and the way back`
        : `on the way to ${to.version}`;
    this.supervisor.hold(serviceType, why);
    this.serviceType = serviceType;
  }

  /** Resolves when no process of it is left. */
  async takeOut(update: UpdateUnderWay): Promise<void> {
    this.hold(update);
    await this.supervisor.whenAtRest(update.serviceType);
  }

  async letRun(): Promise<void> {
    const { serviceType } = this;
    this.serviceType = null;
    if (serviceType !== null) await this.supervisor.release(serviceType);
  }
}
