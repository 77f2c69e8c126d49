/** What a person needs to know after the start: where to go, and three commands that work when pasted. */
export function banner(options: { url: string; version: string; ownerTokenFile: string | null }): string {
  const { url, version, ownerTokenFile } = options;
  const token = ownerTokenFile === null ? '$FABRIC_BOOTSTRAP_TOKEN' : `$(cat ${shellQuoted(ownerTokenFile)})`;
  const auth = `-H "Authorization: Bearer ${token}"`;
  return [
    '',
    `Fabric Control Plane ${version} is up.`,
    '',
    `  URL           ${url}`,
    `  Swagger UI    ${url}/docs`,
    `  Owner token   ${ownerTokenFile ?? 'as given in FABRIC_BOOTSTRAP_TOKEN'}`,
    '',
    'Try:',
    '',
    `  curl -s ${auth} ${url}/api/v1/me`,
    `  curl -s ${auth} -H 'Content-Type: application/json' -d '{"name":"First cluster"}' ${url}/api/v1/clusters`,
    `  curl -s ${auth} ${url}/api/v1/audit/events`,
    '',
    'Stop with Ctrl-C.',
    '',
  ].join('\n');
}

function shellQuoted(path: string): string {
  return /^[\w./@:+-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
