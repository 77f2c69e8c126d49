import { Injectable } from '@nestjs/common';
import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client';

/** The metrics of this process, in a registry of its own, so that several can live in one test run. */
@Injectable()
export class Metrics {
  readonly registry = new Registry();
  private readonly requests: Histogram<'method' | 'route' | 'status'>;
  private readonly held: Counter<'method' | 'route' | 'status'>;

  constructor() {
    collectDefaultMetrics({ register: this.registry });
    this.requests = new Histogram({
      name: 'http_request_duration_seconds',
      help: 'Time from the arrival of a request to the end of its answer; without event streams and held polls.',
      labelNames: ['method', 'route', 'status'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
      registers: [this.registry],
    });
    this.held = new Counter({
      name: 'http_held_requests_total',
      help: 'Event streams and polls that asked to wait, once they have ended.',
      labelNames: ['method', 'route', 'status'],
      registers: [this.registry],
    });
  }

  /** @param route the template, such as `/api/v1/clusters/:cluster`; never the raw path, which has no bound */
  observeRequest(method: string, route: string, status: number, seconds: number): void {
    this.requests.observe({ method, route, status: String(status) }, seconds);
  }

  /** The same for a request that waits by design: its length is no measure of speed, so only the number counts. */
  countHeld(method: string, route: string, status: number): void {
    this.held.inc({ method, route, status: String(status) });
  }
}
