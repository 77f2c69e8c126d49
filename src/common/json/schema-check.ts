import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js';

/** A JSON Schema (2020-12) of our own, as it is published. */
export type PublishedSchema = Readonly<Record<string, unknown>>;

/** One way in which a document does not fit its schema. */
export interface SchemaFault {
  /** Steps to the member at fault: one that is missing or unknown is named, not the object around it. */
  path: string[];
  message: string;
}

/** All faults of a document; none when it fits. */
export type SchemaCheck = (document: unknown) => SchemaFault[];

// Strict: a keyword that is misspelt would check nothing, so it is refused when the schema is compiled.
const ajv = new Ajv2020({ strict: true, allErrors: true });

/** Compiles a schema once, at the start. Not for schemas from outside: compiling makes code of them. */
export function compileSchema(schema: PublishedSchema): SchemaCheck {
  const validate = ajv.compile(schema);
  return (document) => (validate(document) ? [] : (validate.errors ?? []).map(faultOf));
}

function faultOf({ instancePath, keyword, params, message }: ErrorObject): SchemaFault {
  const path = instancePath.split('/').slice(1).map(unescapeStep);
  if (keyword === 'additionalProperties')
    return { path: [...path, String(params.additionalProperty)], message: 'Unknown member.' };
  if (keyword === 'required')
    return { path: [...path, String(params.missingProperty)], message: 'Must be given.' };
  if (keyword === 'enum') return { path, message: `Must be one of ${params.allowedValues.join(', ')}.` };
  return { path, message: sentence(message ?? 'does not fit the schema') };
}

/** RFC 6901. */
function unescapeStep(step: string): string {
  return step.replaceAll('~1', '/').replaceAll('~0', '~');
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
