import pg from 'pg';
import { EnvelopeError, MasterKeyring, sealedKeyId } from '../crypto/envelope.js';
import { StartupError } from '../database/embedded/startup-error.js';
import { surviveBreak } from '../database/survive-break.js';

const CONTEXT = { purpose: 'master-key-check' };
const PLAINTEXT = Buffer.from('fabric');

/**
 * Compares the master key with the one under which this database's keys rest, by a value sealed at the first start.
 * A previous key that is still configured counts, and the value is sealed anew under the current one.
 * @throws StartupError when the key is another: everything sealed would be lost to this process
 */
export async function checkMasterKey(
  appUrl: string,
  current: string,
  previous: readonly string[],
): Promise<void> {
  const keyring = new MasterKeyring(current, previous);
  const client = new pg.Client({ connectionString: appUrl });
  surviveBreak(client);
  await client.connect();
  try {
    await client.query('UPDATE installation SET master_key_check = $1 WHERE master_key_check IS NULL', [
      keyring.seal(PLAINTEXT, CONTEXT),
    ]);
    const { rows } = await client.query<{ check: Buffer }>(
      'SELECT master_key_check AS check FROM installation',
    );
    const sealed = rows[0]?.check;
    if (sealed === undefined)
      throw new StartupError('The table installation is empty: the database is not whole.');
    open(keyring, sealed);
    if (sealedKeyId(sealed) !== keyring.keyId) {
      const again = keyring.seal(PLAINTEXT, CONTEXT);
      await client.query('UPDATE installation SET master_key_check = $1', [again]);
    }
  } finally {
    await client.end();
  }
}

function open(keyring: MasterKeyring, sealed: Buffer): void {
  try {
    keyring.open(sealed, CONTEXT);
  } catch (error) {
    if (!(error instanceof EnvelopeError)) throw error;
    throw new StartupError(
      `FABRIC_MASTER_KEY is not the key of this database: it has the key id ${keyring.keyId}, the database wants ${sealedKeyId(sealed)}.`,
      { cause: error },
    );
  }
}
