import { Injectable } from '@nestjs/common';
import type { RequestContext } from '../request/request-context.js';
import type { Principal } from './principal.js';

/** What came of a credential. `unknown` counts against the address, `refused` does not: see API.md, "Limits". */
export type Authentication = { principal: Principal } | { refused: string } | { unknown: string };

/** One way to prove who one is; each module that issues credentials brings its own. */
export interface Authenticator {
  /** Whether this bearer credential is of the kind that it knows. */
  accepts(credential: string): boolean;
  authenticate(credential: string, request: RequestContext): Promise<Authentication>;
}

/** The known ways to authenticate, asked in the order in which they were added. */
@Injectable()
export class Authenticators {
  private readonly known: Authenticator[] = [];

  add(authenticator: Authenticator): void {
    this.known.push(authenticator);
  }

  async authenticate(credential: string, request: RequestContext): Promise<Authentication> {
    const authenticator = this.known.find((each) => each.accepts(credential));
    return authenticator === undefined
      ? { unknown: 'no credential of this service has this form' }
      : authenticator.authenticate(credential, request);
  }
}
