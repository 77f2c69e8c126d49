import type { OwnerToken } from './open-runtime.js';

/** What a person needs to know after the start: where to go, and commands that work when pasted. */
export function banner(options: { url: string; version: string; ownerToken: OwnerToken }): string {
  const { url, version, ownerToken } = options;
  return [
    '',
    `Fabric Control Plane ${version} is up.`,
    '',
    `  URL           ${url}`,
    `  Swagger UI    ${url}/docs`,
    `  Owner token   ${whereabouts(ownerToken)}`,
    '',
    'Try:',
    '',
    ...commands(url, ownerToken).map((command) => `  curl -s ${command}`),
    '',
    'Stop with Ctrl-C.',
    '',
  ].join('\n');
}

function whereabouts(ownerToken: OwnerToken): string {
  if (ownerToken === 'disabled') return 'disabled; sign in with an API token';
  return ownerToken === 'given' ? 'as given in FABRIC_BOOTSTRAP_TOKEN' : ownerToken.file;
}

/** Without the owner's token only what needs none: which API token there is, the service does not know. */
function commands(url: string, ownerToken: OwnerToken): string[] {
  if (ownerToken === 'disabled') return [`${url}/readyz`, `${url}/.well-known/fabric`];
  const token = ownerToken === 'given' ? '$FABRIC_BOOTSTRAP_TOKEN' : `$(cat ${shellQuoted(ownerToken.file)})`;
  const auth = `-H "Authorization: Bearer ${token}"`;
  return [
    `${auth} ${url}/api/v1/me`,
    `${auth} -H 'Content-Type: application/json' -d '{"name":"First cluster"}' ${url}/api/v1/clusters`,
    `${auth} ${url}/api/v1/audit/events`,
  ];
}

function shellQuoted(path: string): string {
  return /^[\w./@:+-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
