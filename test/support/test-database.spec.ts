import { describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createTestDatabase, type TestDatabase } from './test-database.js';

async function asOwner<T>(database: TestDatabase, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: database.ownerUrl });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

describe('test databases', () => {
  it('are migrated, apart from each other, and made at once', async () => {
    const databases = await Promise.all([createTestDatabase(), createTestDatabase(), createTestDatabase()]);
    const counts = await Promise.all(
      databases.map((database, index) =>
        asOwner(database, async (client) => {
          await client.query(`CREATE TABLE only_here_${index} (id int)`);
          const { rows } = await client.query<{ migrated: string; tables: string }>(
            `SELECT (SELECT count(*) FROM _prisma_migrations) AS migrated,
                    (SELECT count(*) FROM pg_tables WHERE tablename LIKE 'only_here_%') AS tables`,
          );
          return { migrated: Number(rows[0]?.migrated) > 0, tables: Number(rows[0]?.tables) };
        }),
      ),
    );
    await Promise.all(databases.map((database) => database.drop()));
    expect(counts).toEqual(Array(3).fill({ migrated: true, tables: 1 }));
  });

  it('are gone when dropped, whoever is connected', async () => {
    const database = await createTestDatabase();
    const client = new pg.Client({ connectionString: database.appUrl });
    const cut = new Promise<void>((resolve) => client.on('error', () => resolve()));
    await client.connect();
    await database.drop();
    await cut;
    await expect(asOwner(database, () => Promise.resolve())).rejects.toMatchObject({ code: '3D000' });
  });
});
