import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/common/ids/uuid.js';
import type { Api } from '../support/api.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { created, given, several, unique } from '../support/given.js';

const limits = { unknownCredentialsPerMinute: 10_000, principalPerMinute: 100_000, nodePerMinute: 100_000 };

let controlPlane: ControlPlane;
let api: Api;
beforeAll(async () => {
  controlPlane = await startControlPlane({ config: { limits } });
  ({ api } = controlPlane);
  // 25 clusters, of which many have the same time; half of the names hold "even".
  await several(25, (index) =>
    given(controlPlane).cluster({ name: `${index % 2 === 0 ? 'even' : 'odd'} ${index}` }),
  );
  await controlPlane.database.query(
    `UPDATE clusters SET created_at = date_trunc('minute', created_at) - make_interval(secs => length(name) % 3)`,
  );
});
afterAll(() => controlPlane?.close());

interface Item {
  id: string;
  createdAt: string;
}

/** Every item of a list, page by page; `between` runs after each page. */
async function all(
  path: string,
  limit: number,
  between: (page: number) => Promise<unknown> = async () => null,
): Promise<Item[][]> {
  const pages: Item[][] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const parameters = new URLSearchParams({ limit: String(limit), ...(cursor === '' ? {} : { cursor }) });
    const { body } = await api.get(`${path}${path.includes('?') ? '&' : '?'}${parameters}`);
    pages.push(body.items);
    cursor = body.nextCursor;
    await between(pages.length);
  }
  return pages;
}

const ids = (pages: Item[][]): string[] => pages.flat().map(({ id }) => id);
const bad = async (query: string) => {
  const { status, body } = await api.get(`/clusters?${query}`);
  return { status, code: body.code, parameter: body.errors?.[0]?.parameter };
};

describe('a list', () => {
  it('shows each item once, newest first, also where many have the same time', async () => {
    const { rows } = {
      rows: await controlPlane.database.query<Item>(
        'SELECT id FROM clusters ORDER BY created_at DESC, id DESC',
      ),
    };
    for (const limit of [1, 3, 24, 25, 26, 200]) {
      const pages = await all('/clusters', limit);
      expect(ids(pages)).toEqual(rows.map(({ id }) => id));
      expect(pages.slice(0, -1).every((page) => page.length === limit)).toBe(true);
    }
  });

  it('ends with a null cursor and without a Link when a page is just full', async () => {
    const answer = await api.get('/clusters?limit=25');
    expect(answer.body.items).toHaveLength(25);
    expect(answer.body.nextCursor).toBeNull();
    expect(answer.headers.get('link')).toBeNull();
  });

  it('neither repeats nor skips what was there, while others are added', async () => {
    const before = ids(await all('/clusters', 200));
    const seen = ids(await all('/clusters', 4, () => given(controlPlane).cluster()));
    expect(seen).toEqual(before);
    expect(ids(await all('/clusters', 200))).toHaveLength(before.length + 7);
  });

  it('goes on where it was although the last item is gone from it', async () => {
    const path = `/clusters?status=active&q=${unique('gone')}`;
    const name = path.split('=').at(-1) ?? '';
    const made = [];
    for (let index = 0; index < 4; index += 1)
      made.push(await given(controlPlane).cluster({ name: `${name} ${index}` }));
    const first = await api.get(`${path}&limit=2`);
    await api.delete(`/clusters/${first.body.items[1].id}`);
    const second = await api.get(`${path}&limit=2&cursor=${first.body.nextCursor}`);
    const shown = [...first.body.items, ...second.body.items].map(({ id }: Item) => id);
    expect(shown).toEqual(made.map(({ id }) => id).reverse());
  });

  it('can be followed by its Link header alone, with its filters', async () => {
    for (const query of ['q=even', `q=${encodeURIComponent('v?n&=#+ é')}`, 'q=even&status=active']) {
      if (query.includes('%3F')) {
        for (let index = 0; index < 4; index += 1)
          await given(controlPlane).cluster({ name: `v?n&=#+ é ${index}`, slug: unique('odd') });
      }
      const wanted = ids(await all(`/clusters?${query}`, 200));
      expect(wanted.length).toBeGreaterThan(3);
      const seen: string[] = [];
      let url: string | undefined = `${controlPlane.url}/api/v1/clusters?${query}&limit=3`;
      while (url !== undefined) {
        const path: string = url.slice(controlPlane.url.length);
        const answer = await api.get(`/${path}`);
        expect(answer.status).toBe(200);
        seen.push(...answer.body.items.map(({ id }: Item) => id));
        const link = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
        url = link === undefined ? undefined : new URL(link, url).href;
      }
      expect(seen).toEqual(wanted);
    }
  });

  it.each(['0', '201', '-1', '1.5', '1e2', 'ten', '', ' 5', '0x10', '9999999999'])(
    'refuses the limit %j',
    async (limit) => {
      expect(await bad(`limit=${encodeURIComponent(limit)}`)).toEqual({
        status: 400,
        code: 'invalid_parameter',
        parameter: 'limit',
      });
    },
  );

  it('has 50 items a page unless told', async () => {
    const { id } = await given(controlPlane).cluster();
    await several(51, () => given(controlPlane).joinToken(id));
    const { body } = await api.get(`/clusters/${id}/join-tokens`);
    expect(body.items).toHaveLength(50);
    expect(body.nextCursor).not.toBeNull();
  });
});

describe('a cursor', () => {
  const cursorOf = async (query = 'limit=2') =>
    (await api.get(`/clusters?${query}`)).body.nextCursor as string;
  const refused = { status: 400, code: 'invalid_cursor', parameter: 'cursor' };

  it('is refused when any character of it was changed', async () => {
    const cursor = await cursorOf();
    for (let at = 0; at < cursor.length; at += 1) {
      const other = cursor[at] === 'A' ? 'B' : 'A';
      expect(await bad(`cursor=${cursor.slice(0, at)}${other}${cursor.slice(at + 1)}`)).toEqual(refused);
    }
  });

  it.each(['x', 'AAAA', 'bm90IGEgY3Vyc29y', '%00', '%F0%9F%92%A9', "'%3B--"])(
    'is refused when it is %s',
    async (cursor) => {
      expect((await bad(`cursor=${cursor}`)).status).toBe(400);
    },
  );

  it('is refused when it is cut or padded', async () => {
    const cursor = await cursorOf();
    for (const other of [
      cursor.slice(0, -1),
      cursor.slice(1),
      `${cursor}=`,
      `${cursor}A`,
      ` ${cursor}`,
      `${cursor}${cursor}`,
    ]) {
      expect(await bad(`cursor=${encodeURIComponent(other)}`)).toEqual(refused);
    }
    expect((await bad(`cursor=${'A'.repeat(3000)}`)).status).toBe(400);
  });

  it('is refused with other filters, and good with another limit', async () => {
    const cursor = await cursorOf('limit=2&q=even');
    for (const query of ['', 'q=odd&', 'q=even&status=active&'])
      expect(await bad(`${query}cursor=${cursor}`)).toEqual(refused);
    expect((await api.get(`/clusters?q=even&limit=7&cursor=${cursor}`)).body.items).toHaveLength(7);
  });

  it('is refused in another list', async () => {
    const [one, two] = [await given(controlPlane).cluster(), await given(controlPlane).cluster()];
    for (const { id } of [one, two])
      for (let index = 0; index < 3; index += 1) created(await api.post(`/clusters/${id}/join-tokens`, {}));
    const cursor = await cursorOf();
    const own = (await api.get(`/clusters/${one.id}/join-tokens?limit=1`)).body.nextCursor;
    for (const path of [
      `/clusters/${one.id}/join-tokens?cursor=${cursor}`,
      `/clusters/${two.id}/join-tokens?cursor=${own}`,
      `/clusters?cursor=${own}`,
      `/clusters/${one.id}/nodes?cursor=${own}`,
      `/audit/events?cursor=${own}`,
    ]) {
      expect((await api.get(path)).body.code).toBe('invalid_cursor');
    }
    expect((await api.get(`/clusters/${one.id}/join-tokens?cursor=${own}`)).body.items).toHaveLength(2);
  });

  it('is good on another instance', async () => {
    const beside = await startControlPlane({ beside: controlPlane });
    try {
      const cursor = await cursorOf('limit=3');
      const [here, there] = await Promise.all(
        [api, beside.api].map((client) => client.get(`/clusters?limit=3&cursor=${cursor}`)),
      );
      expect(there?.status).toBe(200);
      expect(there?.body).toEqual(here?.body);
    } finally {
      await beside.close();
    }
  });

  it('tells one principal nothing of what another may see', async () => {
    const [mine, theirs] = [await given(controlPlane).cluster(), await given(controlPlane).cluster()];
    const token = created(
      await api.post('/api-tokens', { name: unique('scoped'), role: 'auditor', clusterId: mine.id }),
    ) as { token: string };
    const scoped = api.as(token.token);
    expect((await scoped.get('/clusters')).body.items.map(({ id }: Item) => id)).toEqual([mine.id]);
    expect((await scoped.get(`/clusters?cursor=${await cursorOf()}`)).body.code).toBe('invalid_cursor');
    expect((await scoped.get(`/clusters/${theirs.id}`)).status).toBe(404);
    expect((await scoped.get(`/clusters/${newId()}`)).body.detail).toBe(
      (await scoped.get(`/clusters/${theirs.id}`)).body.detail,
    );
  });
});
