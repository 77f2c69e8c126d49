import { randomUUID } from 'node:crypto';
import Fastify from 'fastify';

/** The least that could answer the same requests: what the machine, Node and Fastify allow. */
const ETAG = '"1.1.1"';
const app = Fastify();
let body = '{}';
let issue = 1;
let held = [];
/** As many of them, and as long, as the service's own answer has. */
const RATE_LIMIT = { 'RateLimit-Policy': '"default";q=9999999;w=60', RateLimit: '"default";r=9999998;t=60' };

app.get('/snapshot', (request, reply) => {
  if (request.headers['if-none-match'] === ETAG) return reply.code(304).header('ETag', ETAG).send();
  return reply.header('ETag', ETAG).send({});
});

app.get('/held', (_request, reply) => {
  held.push(reply);
});

app.get('/held/count', async () => ({ held: held.length }));

app.post('/release', async ({ body: sent }) => {
  issue += 1;
  if (sent?.sizeBytes !== undefined)
    body = JSON.stringify({ jws: 'x'.repeat(sent.sizeBytes), generation: 1 });
  const waiting = held;
  held = [];
  for (const reply of waiting) {
    reply.type('application/json; charset=utf-8');
    reply.headers({ 'X-Request-Id': randomUUID(), ...RATE_LIMIT, ETag: `"1.${issue}.1"` }).send(body);
  }
  return { released: waiting.length };
});

await app.listen({ port: 0, host: '127.0.0.1' });
console.log(`bare Fastify is up on port ${app.server.address().port}`);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(0));
