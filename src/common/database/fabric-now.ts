import { sql } from './sql.js';

/**
 * The time by which a statement decides, read once in it: see `RecordedTime`. A statement that may wait for a lock
 * decides by one that comes after it.
 */
export const FABRIC_NOW = sql`(SELECT fabric_now())`;
