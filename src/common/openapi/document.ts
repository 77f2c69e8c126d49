import type { z } from 'zod';
import type { Operation } from '../http/operation.js';
import { PROBLEMS, type ProblemCode } from '../http/problems.js';
import { Answers } from './answers.js';
import type { DescribedRoute } from './described-route.js';
import { HEADERS } from './headers.js';
import type { Direction } from './json-schema.js';
import { parametersOf, SHARED_PARAMETERS } from './parameters.js';
import { Plan } from './plan.schema.js';
import { Problem, problemExample } from './problem.schema.js';
import { problemCodes, problemResponse, responseName } from './problem-responses.js';
import { SchemaCatalogue } from './schema-catalogue.js';
import { TAGS, tagPosition } from './tags.js';

/** An OpenAPI 3.1 document. */
export interface OpenApiDocument {
  openapi: string;
  info: Record<string, unknown> & { version: string };
  servers: { url: string }[];
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, OperationObject>>;
  components: Record<string, Record<string, unknown>>;
}

/** An operation object of the document. */
export interface OperationObject {
  operationId: string;
  summary: string;
  tags: string[];
  description?: string;
  security: Record<string, string[]>[];
  parameters: unknown[];
  requestBody?: Record<string, unknown>;
  responses: Record<string, object>;
}

const DESCRIPTION = `Control plane of a Secure Access Fabric: it admits hosts as nodes of clusters, gives them roles, hands each its signed
desired state, and records who did what.

Times are RFC 3339 in UTC, durations whole seconds, ids UUIDv7. Lists are paged by cursor. Every refusal is a problem
document (RFC 9457) with a stable \`code\`, whose \`type\` leads to its cause and remedy. Every change may be planned with
\`dryRun=true\`, repeated safely with \`Idempotency-Key\`, and guarded with \`If-Match\`.`;

/** Builds the document from the routes and their declarations. The same routes give the same text, in any order. */
export function buildDocument(routes: readonly DescribedRoute[], version: string): OpenApiDocument {
  const catalogue = new SchemaCatalogue([
    { type: Problem, direction: 'output' },
    { type: Plan, direction: 'output' },
    ...routes.flatMap(({ operation }) => schemasOf(operation)),
  ]);
  const answers = new Answers(catalogue);
  const sorted = [...routes].sort(
    (one, other) => compare(one.path, other.path) || compare(one.method, other.method),
  );
  const paths: OpenApiDocument['paths'] = {};
  for (const route of sorted) {
    paths[route.path] = {
      ...paths[route.path],
      [route.method.toLowerCase()]: operationOf(route, catalogue, answers),
    };
  }
  const tags = [...new Set(routes.flatMap((route) => route.tags))].sort(
    (one, other) => tagPosition(one) - tagPosition(other),
  );
  return {
    openapi: '3.1.1',
    info: {
      title: 'Fabric Control Plane',
      version,
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: tags.map((name) => ({ name, description: TAGS[name] ?? '' })),
    paths,
    components: withoutUnused(paths, {
      securitySchemes: {
        apiToken: {
          type: 'http',
          scheme: 'bearer',
          description: 'People and scripts: an API token, or the bootstrap token of the first start.',
        },
        nodeToken: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description:
            'Node agents: an access token that the node has exchanged for an assertion signed by its key.',
        },
      },
      schemas: catalogue.components(),
      parameters: SHARED_PARAMETERS,
      headers: HEADERS,
      responses: Object.fromEntries(
        codes().map((code) => [responseName(code), problemResponse(PROBLEMS[code].status, [code])]),
      ),
      examples: Object.fromEntries(
        codes().map((code) => [code, { summary: PROBLEMS[code].title, value: problemExample(code) }]),
      ),
    }),
  };
}

function schemasOf({
  query,
  body,
  response,
  otherAnswers = [],
}: Operation): { type: z.ZodType; direction: Direction }[] {
  const sent = [query, body].flatMap((type) =>
    type === undefined ? [] : [{ type, direction: 'input' as const }],
  );
  const got = [response, ...otherAnswers.map((answer) => answer.response)].flatMap((type) =>
    type === undefined ? [] : [{ type, direction: 'output' as const }],
  );
  return [...sent, ...got];
}

function operationOf(route: DescribedRoute, catalogue: SchemaCatalogue, answers: Answers): OperationObject {
  const { operation, tags } = route;
  const body = answers.requestBody(route);
  const responses: Record<string, object> = { ...answers.of(route) };
  for (const [status, problems] of problemCodes(route)) {
    const [only] = problems;
    const other = responses[status] as { content?: object } | undefined;
    const response = problemResponse(status, problems);
    if (other !== undefined) response.content = { ...other.content, ...response.content };
    responses[status] =
      other === undefined && problems.length === 1 && only !== undefined
        ? { $ref: `#/components/responses/${responseName(only)}` }
        : { ...response };
  }
  return {
    tags: [...tags],
    summary: operation.summary,
    ...descriptionOf(operation),
    operationId: operation.id,
    security: securityOf(operation),
    parameters: parametersOf(route, catalogue),
    ...(body === undefined ? {} : { requestBody: body }),
    responses,
  };
}

function descriptionOf({ description, access, highRisk, guardedByAuthority }: Operation): {
  description?: string;
} {
  const sentences = [
    description,
    typeof access === 'object' ? `Permission: \`${access.permission}\`.` : undefined,
    highRisk === true ? 'High-risk: needs a credential made for it.' : undefined,
    guardedByAuthority === true ? 'Refused while the cluster is not authoritative.' : undefined,
  ].filter((sentence) => sentence !== undefined);
  return sentences.length === 0 ? {} : { description: sentences.join('\n\n') };
}

function securityOf({ access }: Operation): Record<string, string[]>[] {
  if (access === 'public') return [];
  return [access === 'node' ? { nodeToken: [] } : { apiToken: [] }];
}

/** Drops the shared parts that no operation has come to need yet. */
function withoutUnused(
  paths: unknown,
  components: Record<string, Record<string, unknown>>,
): OpenApiDocument['components'] {
  const used = new Set<string>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    const { $ref } = value as { $ref?: unknown };
    if (typeof $ref === 'string' && !used.has($ref)) {
      used.add($ref);
      const [, , kind = '', name = ''] = $ref.split('/');
      visit(components[kind]?.[name]);
    }
    for (const child of Object.values(value)) visit(child);
  };
  visit(paths);
  const kept = Object.entries(components).map(([kind, parts]) => [
    kind,
    Object.fromEntries(
      Object.entries(parts).filter(
        ([name]) => kind === 'securitySchemes' || used.has(`#/components/${kind}/${name}`),
      ),
    ),
  ]);
  return Object.fromEntries(kept) as OpenApiDocument['components'];
}

function codes(): ProblemCode[] {
  return (Object.keys(PROBLEMS) as ProblemCode[]).sort();
}

function compare(one: string, other: string): number {
  return one === other ? 0 : one < other ? -1 : 1;
}
