import { defineConfig } from 'prisma/config';

// Prisma's schema engine is a download that this project does not need: migrations are applied by our own
// runner and `prisma generate` never starts the engine. Naming any executable keeps Prisma from fetching it.
process.env.PRISMA_SCHEMA_ENGINE_BINARY ??= process.execPath;

export default defineConfig({ schema: 'prisma/schema.prisma', migrations: { path: 'prisma/migrations' } });
