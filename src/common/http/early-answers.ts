import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Injectable } from '@nestjs/common';
import type { FastifyServerFactory } from 'fastify';

/**
 * Takes a request and returns true, or leaves it alone and returns false, without waiting for anything.
 * @param goOn sends a request that was taken, and not answered, the usual way after all
 */
export type EarlyAnswer = (request: IncomingMessage, response: ServerResponse, goOn: () => void) => boolean;

/**
 * Who may answer a request before the framework sees it: for what comes thousands of times a second and can be told
 * from memory. Whatever is not plainly that goes the usual way, with its hooks, guards and filters.
 */
@Injectable()
export class EarlyAnswers {
  private readonly answers: EarlyAnswer[] = [];

  add(answer: EarlyAnswer): void {
    this.answers.push(answer);
  }

  /** False: nobody has taken it. */
  answer(request: IncomingMessage, response: ServerResponse, goOn: () => void): boolean {
    for (const answer of this.answers) if (answer(request, response, goOn)) return true;
    return false;
  }
}

/** A server as Fastify makes one itself, on which `early` is asked first. */
export function serverAsking(early: EarlyAnswer): FastifyServerFactory {
  return (handle, options): Server => {
    const { http, keepAliveTimeout, requestTimeout, connectionTimeout } =
      options as unknown as ServerSettings;
    const server = createServer(http ?? {}, (request, response) => {
      const goOn = () => handle(request, response);
      if (!early(request, response, goOn)) goOn();
    });
    server.keepAliveTimeout = keepAliveTimeout;
    server.requestTimeout = requestTimeout;
    server.setTimeout(connectionTimeout);
    return server;
  };
}

/** The settings with which Fastify calls a server factory; its own types leave them open. */
interface ServerSettings {
  http?: object | null;
  keepAliveTimeout: number;
  requestTimeout: number;
  connectionTimeout: number;
}
