import { register } from 'node:module';

/** Run by Jest once, before all tests: starts the databases that the tests use. */
export default async function globalSetup() {
  register('./typescript-loader.mjs', import.meta.url);
  const { startTestServer } = await import('./test-server.ts');
  globalThis.fabricTestServer = await startTestServer();
}
