import { readFile } from 'node:fs/promises';
import { AgentFailure, EXIT, type ExitCode, UsageError } from '../exit.js';
import { EchoService, echoConfig } from '../services/echo-service.js';
import { AGENT_VERSION } from '../version.js';

export const SERVICE_HELP = `Usage: rap-node-agent service synthetic.echo

Runs a service that the agent brings along, with the configuration in the file RAP_CONFIG_FILE. The agent
starts it when a workload wants it; by hand it serves to try it out.`;

/** `rap-node-agent service`. @throws AgentFailure */
export async function service([name, ...rest]: readonly string[]): Promise<ExitCode> {
  if (name === '--help' || name === '-h') {
    process.stdout.write(`${SERVICE_HELP}\n`);
    return EXIT.ok;
  }
  if (name !== 'synthetic.echo' || rest.length > 0) {
    throw new UsageError('the agent brings along one service: synthetic.echo');
  }
  return runEcho(process.env.RAP_CONFIG_FILE || null);
}

async function runEcho(configFile: string | null): Promise<ExitCode> {
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  const config = configFile === null ? echoConfig({}) : await readConfig(configFile);
  const { RAP_INSTANCE_ID = '', RAP_NODE_ID = '' } = process.env;
  const echo = new EchoService(config, {
    service: 'synthetic.echo',
    version: AGENT_VERSION,
    nodeId: RAP_NODE_ID,
    instanceId: RAP_INSTANCE_ID,
  });
  const { address, port } = await echo.listen();
  say(`listening on ${address} port ${port}`);
  say(`stopping on ${await stopped}`);
  await echo.close();
  return EXIT.ok;
}

async function readConfig(path: string): Promise<ReturnType<typeof echoConfig>> {
  try {
    return echoConfig(JSON.parse(await readFile(path, 'utf8')));
  } catch (cause) {
    throw new AgentFailure(`${path}: ${(cause as Error).message}`, EXIT.failed, { cause });
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
