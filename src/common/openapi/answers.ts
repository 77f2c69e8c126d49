import type { z } from 'zod';
import {
  canBePlanned,
  type DescribedRoute,
  hasEtag,
  isReplayable,
  type Reference,
} from './described-route.js';
import { exampleOf } from './example-of.js';
import { RESPONSE_HEADERS } from './headers.js';
import type { JsonSchema } from './json-schema.js';
import { Plan } from './plan.schema.js';
import type { SchemaCatalogue } from './schema-catalogue.js';

/** A media type object of the document. */
export interface MediaType {
  schema: JsonSchema;
  example?: unknown;
  examples?: Record<string, { summary: string; value: unknown }>;
}

/** A response object of the document. */
export interface Answer {
  description: string;
  headers?: Record<string, Reference>;
  content?: Record<string, MediaType>;
}

/** Any bytes; OpenAPI 3.1 has no schema for them. */
const BYTES: MediaType = { schema: {}, example: 'the bytes of the file' };

const JSON_TYPE = 'application/json';

/** Makes the parts of an operation that come from its schemas: bodies and successful answers, each with an example. */
export class Answers {
  private readonly components: Record<string, JsonSchema>;

  constructor(private readonly catalogue: SchemaCatalogue) {
    this.components = catalogue.components();
  }

  /** The request body; undefined when the operation takes none. */
  requestBody({ operation, method }: DescribedRoute): Record<string, unknown> | undefined {
    const { body, bodyExample, bodyOptional, bodyType, takesBytes } = operation;
    if (takesBytes === true) return { required: true, content: { 'application/octet-stream': BYTES } };
    if (body === undefined) return undefined;
    const media = this.media(body, 'input', bodyExample);
    const types = bodyType === undefined ? [JSON_TYPE] : [bodyType];
    if (method === 'PATCH') types.push('application/merge-patch+json');
    const content = Object.fromEntries(types.map((type) => [type, media]));
    return { required: bodyOptional !== true, content };
  }

  /** The answers that are no problems, by status. */
  of(route: DescribedRoute): Record<string, Answer> {
    const { operation, method } = route;
    const status = operation.status ?? 200;
    const headers = RESPONSE_HEADERS.of(headerNames(route, status));
    const answers: Record<string, Answer> = { [status]: this.success(route, status, headers) };
    for (const other of operation.otherAnswers ?? []) {
      const isSuccess = other.status < 300;
      answers[other.status] = {
        description: other.description,
        headers: isSuccess ? headers : RESPONSE_HEADERS.of(['X-Request-Id']),
        content: { [other.responseType ?? JSON_TYPE]: this.media(other.response, 'output', other.example) },
      };
    }
    if (method === 'GET' && hasEtag(route)) {
      answers[304] = {
        description: 'What the caller has is still current.',
        headers: RESPONSE_HEADERS.of(['ETag', 'X-Request-Id']),
      };
    }
    return canBePlanned(route) ? this.withPlan(route, answers) : answers;
  }

  private success({ operation }: DescribedRoute, status: number, headers: Record<string, Reference>): Answer {
    const { response, responseDescription, responseExample, responseType = JSON_TYPE } = operation;
    const description = responseDescription ?? DESCRIPTIONS[status] ?? 'Success.';
    if (response === undefined) return { description, headers };
    return {
      description,
      headers,
      content: { [responseType]: this.media(response, 'output', responseExample) },
    };
  }

  /** A dry run answers 200 with the plan, whatever the call itself would answer. */
  private withPlan(route: DescribedRoute, answers: Record<string, Answer>): Record<string, Answer> {
    const plan = this.catalogue.show(Plan, 'output');
    const planned = this.planExample(route, answers);
    const real = answers[200];
    const media = real?.content?.[JSON_TYPE];
    if (real === undefined || media === undefined) {
      const content = { [JSON_TYPE]: { schema: plan, example: planned } };
      return {
        200: { description: 'The plan, with `dryRun=true`.', headers: PLAN_HEADERS, content },
        ...answers,
      };
    }
    const both: MediaType = {
      schema: { oneOf: [media.schema, plan] },
      examples: {
        done: { summary: 'The call was made', value: media.example },
        planned: { summary: 'With dryRun=true', value: planned },
      },
    };
    const description = `${real.description} With \`dryRun=true\`: the plan.`;
    return { ...answers, 200: { ...real, description, content: { [JSON_TYPE]: both } } };
  }

  private planExample({ operation }: DescribedRoute, answers: Record<string, Answer>): unknown {
    const example = answers[operation.status ?? 200]?.content?.[JSON_TYPE]?.example ?? null;
    const plan = exampleOf(this.catalogue.show(Plan, 'output'), this.components) as Record<string, unknown>;
    const secrets = operation.secrets ?? [];
    const shown = Object.entries(example ?? {}).filter(([name]) => !secrets.includes(name));
    return { ...plan, result: example === null ? null : Object.fromEntries(shown) };
  }

  private media(type: z.ZodType, direction: 'input' | 'output', example: unknown): MediaType {
    const schema = this.catalogue.show(type, direction);
    return { schema, example: example ?? exampleOf(schema, this.components) };
  }
}

const DESCRIPTIONS: Readonly<Record<number, string>> = {
  200: 'Done, or what was asked for.',
  201: 'Created.',
  202: 'Taken; the decision comes later.',
  204: 'Done; the answer has no body.',
};

const PLAN_HEADERS = RESPONSE_HEADERS.of(['RateLimit', 'RateLimit-Policy', 'X-Request-Id']);

function headerNames(route: DescribedRoute, status: number): string[] {
  const { operation, method } = route;
  const names = ['X-Request-Id'];
  if (hasEtag(route)) names.push('ETag');
  if (status === 201 && method === 'POST') names.push('Location');
  if ('cursor' in (operation.query?.shape ?? {})) names.push('Link');
  if (isReplayable(route)) names.push('Idempotency-Replayed');
  if (operation.access !== 'public') names.push('RateLimit', 'RateLimit-Policy');
  return names.sort();
}
