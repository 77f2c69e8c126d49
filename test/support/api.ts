/** An answer as a test looks at it. */
export interface Answer {
  status: number;
  headers: Headers;
  // Tests look into bodies of every shape; a wrong look fails the test.
  // biome-ignore lint/suspicious/noExplicitAny: bodies have every shape
  body: any;
}

export type Api = Record<
  'get' | 'post' | 'put' | 'patch' | 'delete',
  (path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>
> & { as(token: string | null): Api };

/** A client of the API that sends JSON and the given bearer token. Paths are below `/api/v1` unless they start with `//`. */
export function apiClient(url: string, token: string | null): Api {
  const call =
    (method: string) =>
    async (path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> => {
      const target = path.startsWith('//') ? `${url}${path.slice(1)}` : `${url}/api/v1${path}`;
      const isRaw = typeof body === 'string' || body instanceof Uint8Array || body instanceof URLSearchParams;
      const response = await fetch(target, {
        method,
        headers: {
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined || isRaw ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: isRaw ? (body as string) : JSON.stringify(body) }),
      });
      const text = await response.text();
      const isJson =
        /json/.test(response.headers.get('content-type') ?? '') &&
        !/ndjson/.test(response.headers.get('content-type') ?? '');
      return {
        status: response.status,
        headers: response.headers,
        body: isJson && text !== '' ? JSON.parse(text) : text,
      };
    };
  return {
    get: (path, body, headers) =>
      call('GET')(path, undefined, headers ?? (body as Record<string, string> | undefined)),
    post: call('POST'),
    put: call('PUT'),
    patch: call('PATCH'),
    delete: (path, body, headers) => call('DELETE')(path, body, headers),
    as: (other) => apiClient(url, other),
  };
}
