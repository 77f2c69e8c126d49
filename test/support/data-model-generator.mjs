import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

/**
 * A Prisma generator (JSON-RPC, requests on standard input, answers on standard error) that writes the data model as
 * Prisma itself has parsed it, into the file that `output` names.
 */
createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line);
  if (method === 'generate') {
    writeFileSync(params.generator.output.value, JSON.stringify(params.dmmf.datamodel));
  }
  const manifest = { manifest: { prettyName: 'the data model', defaultOutput: 'data-model.json' } };
  const result = method === 'getManifest' ? manifest : null;
  process.stderr.write(`${JSON.stringify({ jsonrpc: '2.0', id, result })}\n`);
});
