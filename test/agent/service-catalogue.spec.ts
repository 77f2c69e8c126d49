import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { type Fields, supervisedNode, workload } from '../support/supervised-node.js';

const node = supervisedNode();

describe('a definition of the host', () => {
  it.each<[string, Fields, string]>([
    ['without a command', {}, 'must have a "command": a list of texts, the first an absolute path'],
    ['with a command from the path', { command: ['sleep'] }, 'must have a "command"'],
    ['with a member of no meaning', { command: ['/bin/sleep'], comand: [] }, 'has a member "comand"'],
    ['that forges what the agent says', { command: ['/bin/sleep'], env: { RAP_NODE_ID: 'x' } }, 'sets RAP_'],
    ['with a signal that is none', { command: ['/bin/sleep'], stopSignal: 'SIGHELLO' }, 'that is no signal'],
  ])('%s is said to be unusable', async (_, definition, reason) => {
    await node().define('relay-node', definition);
    node().wants([workload()]);
    const { message } = await node().seen('workload.changed', { reportedState: 'failed' });
    expect(message).toContain(reason);
  });

  it.each<[string, () => Promise<void>, string]>([
    ['file', () => chmod(join(node().services, 'relay-node.json'), 0o666), 'can be written by others'],
    ['folder', () => chmod(node().services, 0o777), 'is in a folder that can be written by others'],
  ])('is not followed when others may write its %s, until that is mended', async (_, spoil, reason) => {
    await spoil();
    node().wants([workload()]);
    const { message } = await node().seen('workload.changed', { reportedState: 'failed' });
    expect(message).toContain(reason);
    await chmod(join(node().services, 'relay-node.json'), 0o600);
    await chmod(node().services, 0o700);
    node().wants([workload()]);
    await node().starts('relay-node');
  });

  it('whose program is not there fails, and is tried again', async () => {
    await node().define('relay-node', { command: ['/nowhere/relay'] });
    node().wants([workload()]);
    const { message } = await node().seen('workload.changed', { reportedState: 'failed' });
    expect(message).toMatch(/^could not be started: .*\/nowhere\/relay/);
    await node().define('relay-node', { command: ['/bin/sleep', '600'] });
    node().wants([workload()]);
    await node().starts('relay-node');
  });
});
