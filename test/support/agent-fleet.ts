import { AgentHost, type AgentProcess } from './agent-process.js';
import type { Answer } from './api.js';
import { type ControlPlane, startControlPlane } from './control-plane.js';
import { created, given, unique } from './given.js';
import { endNodeServices } from './node-services.js';
import { buildService } from './service-process.js';
import { UnreliableProxy } from './unreliable-proxy.js';

/** A real service, real agent processes, and between them a proxy that can lose what a test wants lost. */
export class AgentFleet {
  private readonly admitted: string[] = [];

  private constructor(
    readonly plane: ControlPlane,
    readonly proxy: UnreliableProxy,
    readonly host: AgentHost,
  ) {}

  static async open(): Promise<AgentFleet> {
    await buildService();
    const proxy = await UnreliableProxy.open();
    const plane = await startControlPlane({ config: { publicUrlAliases: [proxy.url] } });
    proxy.leadTo(plane.url);
    return new AgentFleet(plane, proxy, await AgentHost.open());
  }

  /** Ends everything, services that agents have left behind as well. */
  async close(): Promise<void> {
    await this.host.close();
    await endNodeServices(...this.admitted);
    await this.proxy.close();
    await this.plane.close();
  }

  /** A cluster whose nodes report every second, and are online though a busy machine keeps them from it for minutes. */
  async cluster(): Promise<{ id: string; slug: string }> {
    const cluster = await given(this.plane).cluster();
    const policy = { heartbeatSeconds: 1, staleAfterMissed: 300, offlineAfterMissed: 600 };
    created(await this.plane.api.put(`/clusters/${cluster.id}/policy`, policy));
    return cluster;
  }

  /** Asks to join with the state directory `name`, and leaves; the request is pending then. */
  async apply(
    name: string,
    clusterId: string,
    ...more: readonly string[]
  ): Promise<{ joinRequestId: string; nodeFingerprint: string }> {
    const { token } = await given(this.plane).joinToken(clusterId);
    const order = ['--url', this.proxy.url, '--token', token, '--name', unique(name), '--no-wait', ...more];
    const agent = this.host.start(name, 'enroll', ...order);
    const { joinRequestId, nodeFingerprint } = await agent.seen('enrollment.pending');
    const { code } = await agent.ended;
    if (code !== 0) throw new Error(agent.output);
    return { joinRequestId: String(joinRequestId), nodeFingerprint: String(nodeFingerprint) };
  }

  /** Asks to join and is admitted; returns the node's id. */
  async admit(
    name: string,
    clusterId: string,
    approval: Record<string, unknown> = {},
    ...more: readonly string[]
  ): Promise<string> {
    const { joinRequestId } = await this.apply(name, clusterId, ...more);
    const path = `/clusters/${clusterId}/join-requests/${joinRequestId}/approve`;
    const { approvedNodeId } = created(await this.plane.api.post(path, approval)) as {
      approvedNodeId: string;
    };
    this.admitted.push(approvedNodeId);
    return approvedNodeId;
  }

  /** Starts the agent of this state directory. */
  run(name: string, ...args: readonly string[]): AgentProcess {
    return this.host.start(name, 'run', '--log-level', 'debug', ...args);
  }

  /** Reads until it is there and as wanted; the test's own timeout is the limit. */
  async until(path: string, wanted: (body: Answer['body']) => boolean): Promise<Answer['body']> {
    for (;;) {
      const { status, body } = await this.plane.api.get(path);
      if (status === 200 && wanted(body)) return body;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
