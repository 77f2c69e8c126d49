import type { Principal } from '../../common/auth/principal.js';
import { type DomainError, forbidden } from '../../common/errors/domain-error.js';
import { currentRequest } from '../../common/request/request-context.js';

/**
 * For operations that only some inputs make high-risk; `highRisk` of the route is for those that always are. From here
 * on the request counts as high-risk: its events say so, and its refusal or failure is recorded.
 * @throws forbidden `high_risk_credential_required`, save in a dry run
 */
export function enterHighRisk(principal: Principal): void {
  const request = currentRequest();
  if (request !== undefined) request.highRisk = true;
  if (!principal.highRisk && request?.dryRun !== true) throw highRiskCredentialRequired();
}

/** The refusal of a credential that was not made for high-risk operations. */
export function highRiskCredentialRequired(): DomainError {
  return forbidden(
    'high_risk_credential_required',
    'This operation is high-risk; the token was not made for such work.',
  );
}
