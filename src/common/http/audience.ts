/** Where this service is reached, as configured. */
export interface AudienceSettings {
  /** `FABRIC_PUBLIC_URL`. */
  publicUrl?: string | null | undefined;
  /** `FABRIC_PUBLIC_URL_ALIASES`: further URLs by which callers know this service. */
  aliases: readonly string[];
  /** `HOST` and the port that is really listened on. */
  host: string;
  port: number;
}

/** The rule for the `aud` of proofs and assertions (API.md section 1, "Audience"). */
export interface Audience {
  /** What callers should send, without trailing slash; named in refusals. */
  readonly expected: string;
  /** Whether one of `aud` names this service, with or without a trailing slash.
   *  @param extra a path below this service that is accepted too, such as `/api/v1/node-agents/token` */
  accepts(aud: string | readonly string[] | undefined, extra?: string): boolean;
}

const WILDCARD_HOSTS: readonly string[] = ['', '*', '0.0.0.0', '::', '[::]'];
const LOOPBACK_HOSTS: readonly string[] = ['127.0.0.1', 'localhost', '[::1]'];

/** Works out once which audiences are this service's.
 *  @throws Error for a wildcard `HOST` without a public URL, and for a URL that cannot be an audience */
export function buildAudience(settings: AudienceSettings): Audience {
  const own = ownUrl(settings);
  const expected = trimSlashes(own);
  const isLoopback = LOOPBACK_HOSTS.includes(bracketed(settings.host));
  const names = new Set([own, ...settings.aliases].flatMap((url) => spellings(url, isLoopback)));
  return {
    expected,
    accepts(aud, extra) {
      const claimed = (typeof aud === 'string' ? [aud] : (aud ?? [])).map(trimSlashes);
      return claimed.some((each) => {
        if (names.has(each)) return true;
        return extra !== undefined && each.endsWith(extra) && names.has(each.slice(0, -extra.length));
      });
    },
  };
}

function ownUrl({ publicUrl, host, port }: AudienceSettings): string {
  if (publicUrl) return publicUrl;
  if (WILDCARD_HOSTS.includes(host)) {
    throw new Error(
      `FABRIC_PUBLIC_URL is required when HOST is ${host}: no caller can reach this service by that name.`,
    );
  }
  return `http://${bracketed(host)}:${port}`;
}

/** All texts that mean one URL: as configured, as a URL parser writes it, and by the loopback names that are one. */
function spellings(text: string, isLoopback: boolean): string[] {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (
    url === null ||
    !/^https?:$/.test(url.protocol) ||
    url.username ||
    url.password ||
    url.search ||
    url.hash
  ) {
    throw new Error(
      `Not usable as a public URL: ${text}. It must be http or https, without user, query or fragment.`,
    );
  }
  const hosts = isLoopback && LOOPBACK_HOSTS.includes(url.hostname) ? LOOPBACK_HOSTS : [url.hostname];
  const path = trimSlashes(url.pathname);
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  const parsed = hosts.flatMap((host) => {
    const long = `${url.protocol}//${host}:${port}${path}`;
    return url.port ? [long] : [long, `${url.protocol}//${host}${path}`]; // the default port may be left out
  });
  return [trimSlashes(text), ...parsed];
}

function bracketed(host: string): string {
  return host.includes(':') && !host.startsWith('[') ? `[${host}]` : host.toLowerCase();
}

function trimSlashes(url: string): string {
  let end = url.length;
  while (url[end - 1] === '/') end -= 1;
  return url.slice(0, end);
}
