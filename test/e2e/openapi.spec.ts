import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { FastifyInstance } from 'fastify';
import SwaggerClient from 'swagger-client';
import { createApp } from '../../src/app.js';
import { PROBLEMS } from '../../src/common/http/problems.js';
import { describeApi } from '../../src/describe.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import { unique } from '../support/given.js';

// The document is data to these tests, of the shape that OpenAPI gives it.
// biome-ignore lint/suspicious/noExplicitAny: a document is looked into at any place
type Json = any;

interface Found {
  id: string;
  path: string;
  method: string;
  operation: Json;
}

/** The client resolves every reference of the document before its first call; that alone takes seconds. */
const CLIENT_TIMEOUT_MS = 300_000;

let controlPlane: ControlPlane;
let document: Json;
let operations: Found[];

beforeAll(async () => {
  controlPlane = await startControlPlane();
  document = (await controlPlane.api.get('//openapi.json')).body;
  operations = Object.entries<Json>(document.paths).flatMap(([path, item]) =>
    Object.entries<Json>(item).map(([method, operation]) => ({
      id: operation.operationId,
      path,
      method,
      operation,
    })),
  );
});
afterAll(() => controlPlane?.close());

const committed = (): Json => JSON.parse(readFileSync('openapi/openapi.json', 'utf8'));

/** The paths and components that are not the same: the difference of the whole would fill thousands of lines. After a
 *  change of the API, `npm run openapi` writes the document anew. */
function differing(one: Json, other: Json): string[] {
  const parts = (from: Json): Map<string, string> =>
    new Map(
      Object.entries<Json>(from).flatMap(([section, content]) =>
        Object.entries<Json>(content).flatMap(([name, part]) =>
          section === 'components'
            ? Object.entries<Json>(part).map(([id, each]): [string, string] => [
                `${name}/${id}`,
                JSON.stringify(each),
              ])
            : [[`${section} ${name}`, JSON.stringify(part)] as [string, string]],
        ),
      ),
    );
  const [left, right] = [parts(one), parts(other)];
  return [...new Set([...left.keys(), ...right.keys()])].filter((name) => left.get(name) !== right.get(name));
}

/** What a reference leads to; anything else is itself. */
function at(value: Json): Json {
  if (value?.$ref === undefined) return value;
  const target = value.$ref
    .slice(2)
    .split('/')
    .reduce((each: Json, name: string) => each?.[name], document);
  if (target === undefined) throw new Error(`${value.$ref} leads nowhere`);
  return at(target);
}

/** Every media type of an operation with a name for it. */
function mediaOf({ id, operation }: Found): { name: string; type: string; media: Json }[] {
  const contents: [string, Json][] = [
    ['request', operation.requestBody?.content ?? {}],
    ...Object.entries<Json>(operation.responses).map(([status, response]): [string, Json] => [
      status,
      at(response).content ?? {},
    ]),
  ];
  return contents.flatMap(([where, content]) =>
    Object.entries<Json>(content).map(([type, media]) => ({ name: `${id} ${where} ${type}`, type, media })),
  );
}

function examplesOf(media: Json): Json[] {
  const named = Object.values<Json>(media.examples ?? {}).map((example) => at(example).value);
  return 'example' in media ? [media.example, ...named] : named;
}

describe('the OpenAPI document', () => {
  it('is the committed one', () => {
    const { info, ...rest } = committed();
    expect(differing(document, { ...rest, info: { ...info, version: document.info.version } })).toEqual([]);
  });

  it('is the same made without a database', async () => {
    expect(differing(document, JSON.parse(await describeApi(document.info.version)))).toEqual([]);
  });

  it('is served with an ETag, and only when it has changed', async () => {
    const { headers } = await controlPlane.api.as(null).get('//openapi.json');
    const again = await controlPlane.api
      .as(null)
      .get('//openapi.json', { 'if-none-match': headers.get('etag') ?? '' });
    expect(again.status).toBe(304);
  });

  it('names every operation once and says what it does', () => {
    const ids = operations.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const silent = operations.filter(({ operation }) => !operation.summary || operation.tags.length !== 1);
    expect(silent.map(({ id }) => id)).toEqual([]);
  });

  it('has every route that the server has', async () => {
    const app = await createApp(controlPlane.runtime);
    const routes = new Set<string>();
    (app.getHttpAdapter().getInstance() as unknown as FastifyInstance).addHook(
      'onRoute',
      ({ method, url }) => {
        for (const each of [method].flat())
          routes.add(`${each.toLowerCase()} ${url.replace(/:(\w+)/g, '{$1}')}`);
      },
    );
    await app.init();
    await app.close();
    const documented = operations.map(({ method, path }) => `${method} ${path}`);
    const others = [...routes].filter(
      (route) => !/^(head|options) | \/(docs(\/|$)|openapi\.json)/.test(route),
    );
    expect(others.filter((route) => !documented.includes(route))).toEqual([]);
    expect(documented.filter((route) => !routes.has(route))).toEqual([]);
  });

  it('shows for each operation a success with an example, and what can go wrong', () => {
    const faults = operations.flatMap((found) => {
      const statuses = Object.keys(found.operation.responses);
      const problems = statuses.filter((status) => status >= '400');
      const withoutExample = mediaOf(found).filter(({ media }) => examplesOf(media).length === 0);
      return [
        ...(statuses.some((status) => status.startsWith('2')) ? [] : [`${found.id} never succeeds`]),
        ...(['400', '406', '500', '503'].every((status) => problems.includes(status))
          ? []
          : [`${found.id} has no problems`]),
        ...withoutExample.map(({ name }) => `${name} has no example`),
      ];
    });
    expect(faults).toEqual([]);
  });

  it('has no example that a form would send in the place of what may be left out', () => {
    const shared = Object.values<Json>(document.components.parameters);
    const own = operations.flatMap(({ operation }) => (operation.parameters ?? []) as Json[]);
    const sent = [...shared, ...own].filter(({ required, example }) => !required && example !== undefined);
    expect(shared.length).toBeGreaterThan(3);
    expect(sent).toEqual([]);
  });

  it('has no example that its schema refuses', () => {
    const ajv = new Ajv2020({ strict: false, allErrors: true });
    addFormats.default(ajv);
    ajv.addSchema({ $id: 'https://fabric.example/openapi', components: document.components });
    const faults = operations.flatMap(mediaOf).flatMap(({ name, media }) => {
      const text = JSON.stringify(media.schema).replaceAll(
        '"#/components',
        '"https://fabric.example/openapi#/components',
      );
      const validate = ajv.compile(JSON.parse(text));
      return examplesOf(media).flatMap((example) =>
        validate(example) ? [] : [`${name}: ${ajv.errorsText(validate.errors)}`],
      );
    });
    expect(faults).toEqual([]);
  });

  it('lists under each status only problem codes of that status, each with its own example', () => {
    const faults = operations.flatMap((found) =>
      Object.entries<Json>(found.operation.responses).flatMap(([status, response]) =>
        Object.entries<Json>(at(response).content?.['application/problem+json']?.examples ?? {}).flatMap(
          ([code, example]) => {
            const known = (PROBLEMS as Record<string, { status: number }>)[code];
            const { value } = at(example);
            return String(known?.status) === status && value.code === code
              ? []
              : [`${found.id} ${status} ${code}`];
          },
        ),
      ),
    );
    expect(faults).toEqual([]);
  });

  it('shows numbers and truths in queries as what they are', () => {
    const parameter = (id: string, name: string) =>
      operations
        .find((found) => found.id === id)
        ?.operation.parameters.map(at)
        .find((each: Json) => each.name === name);
    expect(parameter('listClusters', 'limit').schema).toEqual({
      type: 'integer',
      minimum: 1,
      maximum: 200,
      default: 50,
    });
    expect(parameter('createCluster', 'dryRun').schema).toMatchObject({ type: 'boolean' });
    expect(parameter('getCluster', 'cluster')).toMatchObject({
      in: 'path',
      required: true,
      schema: { type: 'string' },
    });
    expect(parameter('updateCluster', 'If-Match')).toMatchObject({ in: 'header' });
  });

  it('offers Swagger UI with nothing from elsewhere', async () => {
    const page = await controlPlane.api.as(null).get('//docs');
    expect(page.status).toBe(200);
    const assets = [...String(page.body).matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = '']) => path);
    expect(assets).toContain('/docs/swagger-ui-bundle.js');
    const answers = await Promise.all(assets.map((path) => controlPlane.api.as(null).get(`/${path}`)));
    expect(assets.map((path, index) => [path, answers[index]?.status])).toEqual(
      assets.map((path) => [path, 200]),
    );
    expect(answers.map(({ body }) => body).join()).toContain("url: '/openapi.json'");
  });
});

describe('a client generated from the document', () => {
  it(
    'creates a cluster, reads it, lists it and changes it',
    async () => {
      // By another name, and so on connections of its own: while the client is being built, those that lie idle can
      // be ended by the service without anybody hearing of it.
      const url = controlPlane.url.replace('127.0.0.1', 'localhost');
      const client: Json = await new SwaggerClient({
        spec: { ...document, servers: [{ url }] },
        authorizations: { apiToken: { value: controlPlane.ownerToken } },
      });
      const { Clusters } = client.apis;
      const name = unique('generated');
      const created = await Clusters.createCluster(
        { 'Idempotency-Key': name },
        { requestBody: { name, region: 'eu-east' } },
      );
      expect(created.status).toBe(201);
      const cluster = created.body.id;
      const read = await Clusters.getCluster({ cluster });
      expect(read.body).toEqual(created.body);
      const page = await Clusters.listClusters({ limit: 5, q: name });
      expect(page.body.items.map((item: Json) => item.id)).toEqual([cluster]);
      const patched = await Clusters.updateCluster(
        { cluster, 'If-Match': read.headers.etag },
        { requestBody: { labels: { site: 'msk' } } },
      );
      expect(patched.body.labels).toEqual({ site: 'msk' });
      const plan = await Clusters.archiveCluster({ cluster, dryRun: true });
      expect(plan.body).toMatchObject({ dryRun: true, result: null });
      const stale = Clusters.updateCluster(
        { cluster, 'If-Match': read.headers.etag },
        { requestBody: { region: null } },
      );
      await expect(stale).rejects.toMatchObject({
        status: 412,
        response: { body: { code: 'precondition_failed' } },
      });
    },
    CLIENT_TIMEOUT_MS,
  );
});
