import { Inject, Injectable } from '@nestjs/common';
import { RUNTIME, type Runtime } from '../config/runtime.js';
import { type Audience, buildAudience } from './audience.js';

/** Where this service is reached. The port is known once it listens, since `PORT=0` takes any. */
@Injectable()
export class ServiceAddress {
  private known: Audience;

  constructor(@Inject(RUNTIME) private readonly runtime: Runtime) {
    this.known = this.build(runtime.config.port);
  }

  /** Tells on which port the service really listens. */
  listensOn(port: number): void {
    this.known = this.build(port);
  }

  /** Which audiences are this service's. */
  get audience(): Audience {
    return this.known;
  }

  /** The URL under which this service is known, without trailing slash. */
  get publicUrl(): string {
    return this.known.expected;
  }

  private build(port: number): Audience {
    const { publicUrl, publicUrlAliases: aliases, host } = this.runtime.config;
    return buildAudience({ publicUrl, aliases, host, port });
  }
}
