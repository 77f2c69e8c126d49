import type { Logger } from 'pino';
import { Counter, Histogram } from 'prom-client';
import type { Runtime } from '../config/runtime.js';
import type { Metrics } from '../observability/metrics.js';
import { Jobs } from './jobs.js';

/** The jobs of this process, as its role and queue backend want them, with their metrics. */
export function createJobs(runtime: Runtime, logger: Logger, metrics: Metrics): Jobs {
  const registers = [metrics.registry];
  const runs = new Histogram({
    name: 'fabric_job_duration_seconds',
    help: 'Time that one run of a job took, by how it ended.',
    labelNames: ['queue', 'name', 'outcome'],
    registers,
  });
  const lost = new Counter({
    name: 'fabric_job_nudges_lost_total',
    help: 'Nudges that could not be handed to the queue; a sweep makes up for them.',
    labelNames: ['queue', 'name'],
    registers,
  });
  const { redisUrl, role } = runtime.config;
  return new Jobs({
    ...(redisUrl === null ? {} : { redisUrl }),
    directUrl: runtime.database.directUrl,
    logger,
    runsWorkers: role !== 'api',
    onOutcome: (queue, name, outcome, seconds) => runs.observe({ queue, name, outcome }, seconds),
    onLost: (queue, name) => lost.inc({ queue, name }),
  });
}
