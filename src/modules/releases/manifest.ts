import { DomainError, type InputFault, invalid } from '../../common/errors/domain-error.js';
import { bodyFaults } from '../../common/http/input.js';
import { parseStrictJson } from '../../common/http/strict-json.js';
import { ReleaseManifest } from './manifest.schema.js';

const MAX_FAULTS = 50;

/**
 * Reads the payload of a verified envelope.
 * @param maxBytes of one artifact or bundle
 * @throws invalid `manifest_invalid`, with pointers into the manifest
 */
export function readManifest(payload: Buffer, maxBytes: number): ReleaseManifest {
  const parsed = ReleaseManifest.safeParse(parse(payload));
  if (!parsed.success) throw manifestInvalid(parsed.error.issues.flatMap(bodyFaults));
  const tooLarge = sizesOf(parsed.data)
    .filter(({ size }) => size > maxBytes)
    .map(({ pointer }) => ({ pointer, message: `This service takes at most ${maxBytes} bytes.` }));
  if (tooLarge.length > 0) throw manifestInvalid(tooLarge);
  return parsed.data;
}

export function manifestInvalid(
  errors: readonly InputFault[],
  detail = 'The manifest is not one.',
): DomainError {
  return invalid('manifest_invalid', detail, { errors: errors.slice(0, MAX_FAULTS) });
}

/** Names that stand twice, and whatever else readers of JSON take differently, are refused here too. */
function parse(payload: Buffer): unknown {
  try {
    return parseStrictJson(payload);
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    throw manifestInvalid(error.details.errors ?? [], error.message);
  }
}

function sizesOf({ artifacts, migrations }: ReleaseManifest): { pointer: string; size: number }[] {
  return [
    ...artifacts.map(({ size }, index) => ({ pointer: `#/artifacts/${index}/size`, size })),
    ...migrations.map(({ bundle }, index) => ({
      pointer: `#/migrations/${index}/bundle/size`,
      size: bundle.size,
    })),
  ];
}
