import { Failure } from './run.mjs';

const ECHO = 'synthetic.echo';

/** The echo service as a workload of one node: wanted, seen to serve, killed, seen to come back. */
export class DemoWorkload {
  #stage;
  #agent;
  #path;
  #pid = 0;

  /** `at`: the path of the node; `agent`: its running agent. */
  constructor(stage, at, agent) {
    this.#stage = stage;
    this.#agent = agent;
    this.#path = `${at}/workloads/${ECHO}`;
  }

  /** Wants it; resolves once it serves, with its process, its URL, and what it gave back. */
  async start(words) {
    await this.#stage.call('PUT', this.#path, {
      desiredState: 'running',
      runtime: 'native',
      config: { port: 0 },
    });
    return this.#served(words);
  }

  /** Kills its process with -9; resolves once it serves again, as `start` does. */
  async kill(words) {
    process.kill(this.#pid, 'SIGKILL');
    return this.#served(words);
  }

  /** The states that it has gone through, the first one first. */
  async history() {
    const { items } = await this.#stage.call('GET', `${this.#path}/history`);
    return items.map(({ reportedState }) => reportedState).reverse();
  }

  /** @throws Failure when its process lives on */
  assertGone() {
    try {
      process.kill(this.#pid, 0);
    } catch {
      return;
    }
    throw new Failure(`Process ${this.#pid} still runs.`);
  }

  async #served(words) {
    const before = this.#pid;
    const started = await this.#agent.event('workload.started', ({ pid }) => pid !== before);
    this.#pid = started.pid;
    await this.#stage.see(`${ECHO} is in sync`, async () => {
      const { inSync, instanceId } = await this.#stage.call('GET', this.#path);
      return inSync && instanceId === started.instanceId;
    });
    const url = await this.#stage.see(`${ECHO} says where it listens`, () => this.#url(started.instanceId));
    const echoed = await (await fetch(url, { method: 'POST', body: words })).text();
    if (echoed !== words) throw new Failure(`The echo of "${words}" was "${echoed}".`);
    return { pid: this.#pid, url, echoed };
  }

  /** As the log says that the agent reports; null while it does not say. */
  async #url(instanceId) {
    const log = await this.#stage.call('GET', `${this.#path}/logs`).catch(() => null);
    if (log?.instanceId !== instanceId) return null;
    const port = [...log.tail.matchAll(/listening on 127\.0\.0\.1 port (\d+)/g)].at(-1)?.[1];
    const url = `http://127.0.0.1:${port}`;
    const answer = await fetch(url).then(
      (response) => response.json(),
      () => null,
    );
    return answer?.instanceId === instanceId ? url : null;
  }
}
