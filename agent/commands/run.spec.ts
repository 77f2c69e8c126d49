import { describe, expect, it } from '@jest/globals';
import { EXIT } from '../exit.js';
import { run } from './run.js';

describe('the options of "run"', () => {
  it.each([
    ['--certificate-lifetime', '9', 'from 10 to 86400'],
    ['--certificate-lifetime', '86401', 'from 10 to 86400'],
    ['--certificate-lifetime', '1e3', 'from 10 to 86400'],
    ['--certificate-lifetime', '', 'from 10 to 86400'],
    ['--rotate-key-after', '0', 'from 1 to 99999999'],
    ['--rotate-key-after', '-1', 'from 1 to 99999999'],
  ])('refuse %s "%s" before anything is touched', async (option, value, range) => {
    const nowhere = ['--state-dir', '/nonexistent', `${option}=${value}`];
    await expect(run(nowhere)).rejects.toMatchObject({
      message: `${option} must be a whole number ${range}, not "${value}"`,
      exitCode: EXIT.usage,
    });
  });

  it.each(['10', '86400'])('take a lifetime of %s seconds', async (seconds) => {
    const nowhere = ['--state-dir', '/nonexistent', '--certificate-lifetime', seconds];
    await expect(run(nowhere)).rejects.toMatchObject({ message: expect.stringContaining('/nonexistent') });
  });
});
