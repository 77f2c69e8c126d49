import {
  canBePlanned,
  type DescribedRoute,
  hasEtag,
  isConditional,
  isReplayable,
  type Parameter,
  type Reference,
} from './described-route.js';
import type { JsonSchema } from './json-schema.js';
import type { SchemaCatalogue } from './schema-catalogue.js';

const ENTITY_TAG = '"kZ0h3m0rW3vC7yQeZ6m1nA"';

/**
 * Parameters that many operations take, as they stand under `components.parameters`. Examples of what may be left out
 * stand in the schema: Swagger UI sends a parameter's own example unless somebody deletes it.
 */
export const SHARED_PARAMETERS = {
  DryRun: {
    name: 'dryRun',
    in: 'query',
    description: 'Validate and plan only: the answer is a plan, and nothing is changed.',
    schema: { type: 'boolean', default: false },
  },
  PlanHash: {
    name: 'X-Plan-Hash',
    in: 'header',
    description: '`planHash` of a dry run: 409 `plan_changed` if the effect would now be another.',
    schema: { type: 'string', maxLength: 100 },
  },
  IdempotencyKey: {
    name: 'Idempotency-Key',
    in: 'header',
    description: 'The same key with the same request replays the stored answer for 24 hours.',
    schema: {
      type: 'string',
      minLength: 1,
      maxLength: 255,
      pattern: '^[\\x21-\\x7e]+$',
      examples: ['0c1f6f0e-6f0f-4a3e-9a43-6f6f8f0f9d11'],
    },
  },
  IfMatch: {
    name: 'If-Match',
    in: 'header',
    description: 'Change only the revision with this `ETag`: 412 when it is another by now.',
    schema: { type: 'string', examples: [ENTITY_TAG] },
  },
  IfNoneMatch: {
    name: 'If-None-Match',
    in: 'header',
    description: '`ETag` of the revision that the caller has: 304 when it is still the current one.',
    schema: { type: 'string', examples: [ENTITY_TAG] },
  },
  RequestId: {
    name: 'X-Request-Id',
    in: 'header',
    description: 'Id of the request, logged and stored on audit events; made when absent.',
    schema: { type: 'string', maxLength: 128, pattern: '^[\\x21-\\x7e]+$', examples: ['deploy-4711'] },
  },
} as const satisfies Record<string, Parameter>;

/** Path parameters that are not the id of what they are named for. */
const NOT_IDS: Readonly<Record<string, Omit<Parameter, 'name' | 'in'>>> = {
  cluster: {
    description: 'Id or slug of the cluster.',
    schema: { type: 'string', minLength: 1, maxLength: 63 },
    example: 'moscow-edge',
  },
  serviceType: {
    description: 'Service type of the workload.',
    schema: { type: 'string', pattern: '^[a-z][a-z0-9.-]{0,62}$' },
    example: 'vpn-exit',
  },
  product: {
    description: 'Name of the product.',
    schema: { type: 'string', pattern: '^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$' },
    example: 'rap-node-agent',
  },
  version: {
    description: 'Version of the release, as it was published.',
    schema: { type: 'string', maxLength: 128 },
    example: '1.4.0',
  },
  os: {
    description: 'Operating system of the artifact.',
    schema: { type: 'string', enum: ['linux', 'windows', 'darwin', 'android'] },
    example: 'linux',
  },
  arch: {
    description: 'Processor architecture of the artifact.',
    schema: { type: 'string', enum: ['x64', 'arm64'] },
    example: 'x64',
  },
  migration: {
    description: 'Id of the migration in the manifest.',
    schema: { type: 'string', maxLength: 63 },
    example: 'state-3',
  },
  sha256: {
    description: 'SHA-256 of the file, in lower-case hexadecimal.',
    schema: { type: 'string', pattern: '^[0-9a-f]{64}$' },
    example: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  },
  channel: {
    description: 'Name of the channel.',
    schema: { type: 'string', enum: ['stable', 'current', 'candidate'] },
    example: 'stable',
  },
  code: {
    description: 'Problem code.',
    schema: { type: 'string', pattern: '^[a-z][a-z0-9_]*$' },
    example: 'slug_taken',
  },
};

/** The parameters of an operation, those of the path first. */
export function parametersOf(route: DescribedRoute, catalogue: SchemaCatalogue): (Parameter | Reference)[] {
  const shared = (condition: boolean, ...names: (keyof typeof SHARED_PARAMETERS)[]): Reference[] =>
    condition ? names.map((name) => ({ $ref: `#/components/parameters/${name}` })) : [];
  return [
    ...[...route.path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => pathParameter(name)),
    ...queryParameters(route, catalogue),
    ...shared(canBePlanned(route), 'DryRun', 'PlanHash'),
    ...shared(isReplayable(route), 'IdempotencyKey'),
    ...shared(isConditional(route), 'IfMatch'),
    ...shared(route.method === 'GET' && hasEtag(route), 'IfNoneMatch'),
    ...route.headers,
    ...shared(true, 'RequestId'),
  ];
}

function pathParameter(name: string): Parameter {
  const known = NOT_IDS[name];
  const words = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return {
    name,
    in: 'path',
    required: true,
    ...(known ?? {
      description: `Id of the ${words}.`,
      schema: { type: 'string', format: 'uuid' },
      example: '019ab0c4-7e11-7a52-8d3f-5a0d7f0f3c21',
    }),
  };
}

function queryParameters({ operation }: DescribedRoute, catalogue: SchemaCatalogue): Parameter[] {
  if (operation.query === undefined) return [];
  const { properties = {}, required = [] } = catalogue.show(operation.query, 'input');
  return Object.entries(properties).map(([name, member]) => {
    const { description, ...schema } = isTrueOrFalse(member) ? truth(member) : member;
    const parameter: Parameter = { name, in: 'query', schema };
    if (required.includes(name)) parameter.required = true;
    if (typeof description === 'string') parameter.description = description;
    return parameter;
  });
}

/** A parameter that takes the texts `true` and `false` is a boolean to callers. */
function isTrueOrFalse({ enum: texts }: JsonSchema): boolean {
  return Array.isArray(texts) && [...texts].sort().join() === 'false,true';
}

function truth({ enum: _texts, examples, ...schema }: JsonSchema): JsonSchema {
  const truthful: JsonSchema = { ...schema, type: 'boolean' };
  if (examples !== undefined) truthful.examples = examples.map((each) => each === 'true');
  if (schema.default !== undefined) truthful.default = schema.default === 'true';
  return truthful;
}
