import { Injectable } from '@nestjs/common';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ProblemAnswer } from './problem-document.js';
import { PROBLEMS } from './problems.js';
import { contextOf } from './request-hooks.js';

/** Knows which methods each path takes, so that a wrong method is a 405 with `Allow` and not a 404. */
@Injectable()
export class AllowedMethods {
  private readonly routes: { pattern: RegExp; methods: readonly string[] }[] = [];

  /** Watches the routes as they are added. */
  observe(app: FastifyInstance): void {
    app.addHook('onRoute', ({ url, method }) => {
      if (url.includes('*')) return;
      const pattern = new RegExp(
        `^${url.replace(/[.+?^$()|[\]\\]/g, '\\$&').replace(/:[A-Za-z]+/g, '[^/]+')}/?$`,
      );
      this.routes.push({ pattern, methods: [method].flat().map(String) });
    });
  }

  /** The methods of a path; empty when there is no such path. */
  of(path: string): string[] {
    const methods = this.routes.filter((route) => route.pattern.test(path)).flatMap((route) => route.methods);
    return [...new Set(methods)].sort();
  }

  /** A 405 when `error` is the framework's "no such route" for a path that exists with other methods. */
  refusal(request: FastifyRequest, error: unknown): ProblemAnswer | null {
    if ((error as { status?: unknown } | null)?.status !== 404) return null;
    const { path, method, requestId } = contextOf(request);
    const allow = this.of(path);
    if (allow.length === 0 || allow.includes(method)) return null;
    const code = 'method_not_allowed';
    const detail = `This path does not take ${method}.`;
    return {
      status: 405,
      headers: { Allow: allow.join(', ') },
      body: {
        type: `/problems/${code}`,
        title: PROBLEMS[code].title,
        status: 405,
        detail,
        instance: path,
        code,
        requestId,
      },
      isFault: false,
    };
  }
}
