import { report } from '../lib/run.mjs';
import { setUp } from '../lib/service.mjs';
import { readOptions } from './options.mjs';
import { machine, table, writeJson } from './report.mjs';

/** Measures the built service beside what this machine could do at most; the exit code says whether it went through. */
export async function bench(args) {
  try {
    const options = readOptions(args);
    if (options.help !== null) return console.log(options.help);
    await setUp();
    // Only now: they need the packages that were installed just before.
    const [{ BenchStage }, { measure }] = await Promise.all([
      import('./bench-stage.mjs'),
      import('./measure.mjs'),
    ]);
    const at = new Date();
    const stage = new BenchStage(options.profile);
    const stop = () => void stage.close().finally(() => process.exit(130));
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, stop);
    let rows;
    try {
      rows = await measure(stage, options, (line) => console.error(line));
    } finally {
      for (const signal of ['SIGINT', 'SIGTERM']) process.off(signal, stop);
      await stage.close();
    }
    const { cpus, model, platform, node } = machine();
    console.log(`\n${at.toISOString()}, ${cpus} x ${model}, ${platform}, Node ${node}, ${options.mode}\n`);
    for (const line of table(rows)) console.log(line);
    if (options.mode === 'smoke') console.log('\nA smoke run: these figures mean nothing.');
    if (options.json !== null) writeJson(options.json, { mode: options.mode, at, rows });
  } catch (error) {
    report(error);
  }
}
