import { mkdirSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { inRoot, readText } from './project.mjs';
import { Failure, report } from './run.mjs';
import { setUp } from './service.mjs';

const FILE = 'openapi/openapi.json';

/** Writes the OpenAPI document of the present code. Needs no database. */
export async function writeDocument() {
  await reporting(async () => {
    const text = await describe();
    mkdirSync(inRoot('openapi'), { recursive: true });
    writeFileSync(inRoot(FILE), text);
    console.log(`Wrote ${FILE}.`);
  });
}

/** Fails when the committed document is not that of the present code, and says where they differ. */
export async function checkDocument() {
  await reporting(async () => {
    const [wanted, found] = [await describe(), readText(inRoot(FILE))];
    if (found === wanted) {
      console.log(`${FILE} is that of the code.`);
      return;
    }
    const difference = found === null ? 'It is missing.' : firstDifference(wanted, found);
    throw new Failure(
      `${FILE} is not what the code says. ${difference}\nRun \`npm run openapi\` and commit it.`,
    );
  });
}

async function describe() {
  await setUp();
  const { describeApi } = await import(pathToFileURL(inRoot('dist/src/describe.js')).href);
  return describeApi(JSON.parse(readText(inRoot('package.json'))).version);
}

function firstDifference(wanted, found) {
  const [inCode, inFile] = [wanted.split('\n'), found.split('\n')];
  const at = inCode.findIndex((line, index) => line !== inFile[index]);
  return `Line ${at + 1}:\n  in the file: ${inFile[at] ?? '(end)'}\n  in the code: ${inCode[at] ?? '(end)'}`;
}

async function reporting(work) {
  try {
    await work();
  } catch (error) {
    report(error);
  }
}
