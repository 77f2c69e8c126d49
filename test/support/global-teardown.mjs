/** Run by Jest once, after all tests: removes what the global setup made. */
export default async function globalTeardown() {
  await globalThis.fabricTestServer?.stop();
}
