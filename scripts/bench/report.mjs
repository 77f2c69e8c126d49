import { writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';

/**
 * One line of the result.
 * @typedef {object} Row
 * @property {string} id  stable, for comparing runs
 * @property {string} name
 * @property {number | null} figure  null where this machine cannot tell
 * @property {string} unit
 * @property {{ name: string, figure: number } | null} limit  measured in the same run, in the same unit
 * @property {{ of: 'figure' | 'ratio', atLeast?: number, atMost?: number } | null} aim
 */

/** How the figure stands to its limit; null without one. @param {Row} row */
export function ratioOf({ figure, limit }) {
  return figure === null || limit === null ? null : figure / limit.figure;
}

/** Whether the aim is reached; null without one. @param {Row} row */
export function isReached(row) {
  const { aim, figure } = row;
  const value = aim?.of === 'ratio' ? ratioOf(row) : figure;
  if (aim === null || value === null) return null;
  return (
    value >= (aim.atLeast ?? Number.NEGATIVE_INFINITY) && value <= (aim.atMost ?? Number.POSITIVE_INFINITY)
  );
}

/** The rows as lines of a table. @param {Row[]} rows */
export function table(rows) {
  const cells = [
    ['', 'Figure', 'Limit on this machine', 'Ratio', 'Aim', ''],
    ...rows.map((row) => {
      const { name, figure, unit, limit } = row;
      const ratio = ratioOf(row);
      const beside = limit === null ? '' : `${limit.name}: ${number(limit.figure)} ${unit}`;
      const reached = isReached(row);
      return [
        name,
        figure === null ? 'not to be had here' : `${number(figure)} ${unit}`,
        beside,
        ratio === null ? '' : number(ratio),
        aimText(row),
        reached === null ? '' : reached ? 'reached' : 'missed',
      ];
    }),
  ];
  const widths = cells[0].map((_, column) => Math.max(...cells.map((line) => line[column].length)));
  return cells.map((line) =>
    line
      .map((text, column) => text.padEnd(widths[column]))
      .join('  ')
      .trimEnd(),
  );
}

/** The machine that the figures are of. */
export function machine() {
  const [cpu] = cpus();
  return {
    cpus: cpus().length,
    model: cpu?.model ?? 'unknown',
    memoryBytes: totalmem(),
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
  };
}

/** Writes everything for programs. @param {Row[]} rows */
export function writeJson(file, { mode, at, rows }) {
  const told = rows.map((row) => ({ ...row, ratio: ratioOf(row), reached: isReached(row) }));
  writeFileSync(
    file,
    `${JSON.stringify({ at: at.toISOString(), mode, machine: machine(), rows: told }, null, 2)}\n`,
  );
}

function aimText({ aim, unit }) {
  if (aim === null) return '';
  const bound =
    aim.atLeast === undefined ? `at most ${number(aim.atMost)}` : `at least ${number(aim.atLeast)}`;
  return aim.of === 'ratio' ? `ratio ${bound}` : `${bound} ${unit}`;
}

function number(value) {
  if (value === 0 || Number.isInteger(value)) return value.toLocaleString('en-US');
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return value.toFixed(Math.abs(value) >= 10 ? 1 : value >= 0.01 ? 2 : 4);
}
