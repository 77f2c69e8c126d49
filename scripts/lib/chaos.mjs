import { register } from 'node:module';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { inRoot } from './project.mjs';
import { Failure, report } from './run.mjs';
import { setUp } from './service.mjs';

const USAGE = `npm run test:chaos -- [options]

  --seconds <n>       how long the nemesis goes on (default 300)
  --seed <n>          which run it is (default: one of its own, which it prints)
  --agents <n>        default 8
  --connections <n>   default 4
  --no-fail-over      without the loss of the database to a standby that lags
  --history <file>    the history of all lease calls, in Jepsen's JSON
  --help`;

/** Real agents, instances, a worker and a database under a nemesis; exit code 1 when a rule of leases was broken. */
export async function chaos(args) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        seconds: { type: 'string', default: '300' },
        seed: { type: 'string', default: String(Date.now() % 1_000_000) },
        agents: { type: 'string', default: '8' },
        connections: { type: 'string', default: '4' },
        'no-fail-over': { type: 'boolean', default: false },
        history: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) return console.log(USAGE);
    await setUp();
    register(pathToFileURL(inRoot('test/support/typescript-loader.mjs')));
    const { runChaos } = await import(pathToFileURL(inRoot('test/chaos/run-chaos.ts')).href);
    const result = await runChaos({
      seed: number(values.seed, 'seed'),
      plays: { durationMs: number(values.seconds, 'seconds') * 1_000 },
      agents: number(values.agents, 'agents'),
      connections: number(values.connections, 'connections'),
      leaseTtlSeconds: 5,
      failOver: !values['no-fail-over'],
      historyFile: values.history ?? null,
      log: (line) => console.error(line),
    });
    const { violations, fenced, open, faults, crashes, ...figures } = result;
    console.log(JSON.stringify(figures, null, 2));
    console.log(
      `${violations.length} violations in the history, ${fenced.length} in what a fenced resource took`,
    );
    console.log(
      `${faults.length} faults of the service, ${crashes.length} processes that ended by themselves`,
    );
    console.log(`${open.length} in what a resource without fencing would have taken`);
    const wrong = [...violations, ...fenced, ...faults, ...crashes];
    for (const each of wrong.slice(0, 20)) console.log(JSON.stringify(each));
    // A run in which nothing could go wrong has shown nothing.
    const isEmpty = (result.operations['acquire ok'] ?? 0) === 0 || open.length === 0;
    if (isEmpty) console.log('Fencing had nothing to refuse: the run says nothing.');
    if (isEmpty || wrong.length + result.notRecovered > 0) process.exitCode = 1;
  } catch (error) {
    report(error instanceof TypeError ? new Failure(`${error.message}\n\n${USAGE}`) : error);
  }
}

function number(text, name) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0)
    throw new Failure(`--${name} must be a whole number.\n\n${USAGE}`);
  return value;
}
