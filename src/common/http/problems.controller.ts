import { Controller, Get, Param } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { notFound } from '../errors/domain-error.js';
import { Route } from './operation.js';
import { PROBLEMS, type ProblemCode } from './problems.js';

const ProblemPage = z
  .object({ code: z.string(), status: z.int(), title: z.string(), cause: z.string(), remedy: z.string() })
  .meta({ id: 'ProblemPage' });

/** The pages to which the `type` of a problem document leads. */
@ApiTags('Service')
@Controller('problems')
export class ProblemsController {
  @Get(':code')
  @Route({
    id: 'getProblem',
    summary: 'What a problem code means and what to do about it',
    access: 'public',
    response: ProblemPage,
    responseExample: { code: 'slug_taken', ...PROBLEMS.slug_taken },
    problems: ['not_found'],
  })
  get(@Param('code') code: string): z.infer<typeof ProblemPage> {
    if (!Object.hasOwn(PROBLEMS, code)) throw notFound('not_found', 'There is no such problem code.');
    return { code, ...PROBLEMS[code as ProblemCode] };
  }
}
