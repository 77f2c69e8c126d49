import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from '@jest/globals';
import { projectRoot } from '../../src/common/project-root.js';

/** Building comes first where nobody has built yet. */
const PATIENCE_MS = 600_000;

it(
  'the demo tells the whole story with real processes, and everything is as it should be',
  async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      join(projectRoot(), 'scripts', 'demo.mjs'),
    ]);
    expect(stdout).toContain('Everything was as it should be.');
    expect(stdout).toMatch(/running, failed, (starting, )?running\.$/m);
    for (const action of [
      'join_request.approved',
      'workload.created',
      'role_assignment.disabled',
      'node.revoked',
    ]) {
      expect(stdout).toContain(action);
    }
  },
  PATIENCE_MS,
);
