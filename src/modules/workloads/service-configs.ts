import { invalid } from '../../common/errors/domain-error.js';
import { jsonPointer } from '../../common/json/json-pointer.js';
import { compileSchema, type PublishedSchema, type SchemaCheck } from '../../common/json/schema-check.js';

/** Names that begin with `x-` are the operator's own, as in the policies of roles. */
const OWN = { '^x-': {} };

/** What the configuration of a workload must be, for the service types whose configuration is known. */
const SCHEMAS: Readonly<Record<string, PublishedSchema>> = {
  'synthetic.echo': {
    type: 'object',
    properties: {
      protocol: { enum: ['tcp', 'http'] },
      host: { type: 'string', pattern: '^[0-9A-Za-z.:-]{1,253}$' },
      port: { type: 'integer', minimum: 0, maximum: 65_535 },
    },
    patternProperties: OWN,
    additionalProperties: false,
  },
  // Only the probe of its contract exists yet (specification, stage C19B).
  'rdp-worker': {
    type: 'object',
    // In the words of the specification, beside those of this API.
    properties: { adapter_contract_probe: { type: 'boolean' }, adapterContractProbe: { type: 'boolean' } },
    patternProperties: OWN,
    additionalProperties: false,
  },
};

const CHECKS = new Map<string, SchemaCheck>(
  Object.entries(SCHEMAS).map(([serviceType, schema]) => [serviceType, compileSchema(schema)]),
);

/** Checks the configuration of a workload; one whose schema nobody knows may be any object.
 *  @throws invalid `invalid_request`, with the pointer of each fault */
export function checkConfig(serviceType: string, config: Record<string, unknown>): void {
  const faults = CHECKS.get(serviceType)?.(config) ?? [];
  if (faults.length === 0) return;
  throw invalid('invalid_request', `The configuration does not fit ${serviceType}.`, {
    errors: faults.map(({ path, message }) => ({ pointer: jsonPointer(['config', ...path]), message })),
  });
}
