import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '../../src/common/ids/uuid.js';
import { scanRoutes } from '../../src/common/openapi/scan-routes.js';
import { type ControlPlane, startControlPlane } from '../support/control-plane.js';
import {
  ADMIN_MUTATIONS,
  type MutationCall,
  NODE_MUTATIONS,
  UNAUDITED,
  UPLOADS,
  World,
} from '../support/mutations.js';

const limits = { unknownCredentialsPerMinute: 10_000, principalPerMinute: 100_000 };

let controlPlane: ControlPlane;
let world: World;
beforeAll(async () => {
  controlPlane = await startControlPlane({ config: { limits } });
  world = new World(controlPlane);
});
afterAll(() => controlPlane?.close());

interface EventRow {
  action: string;
  actor_type: string;
  actor_id: string | null;
  outcome: string;
  resource_id: string | null;
  xmin: string;
}

/** The events of one request, each with the transaction that wrote it. */
const eventsOf = (requestId: string) =>
  controlPlane.database.query<EventRow>(
    `SELECT action, actor_type, actor_id, outcome, resource_id, xmin::text FROM audit_events WHERE request_id = $1 ORDER BY id`,
    [requestId],
  );

function perform({ method, path, body, as = world.api }: MutationCall, requestId: string) {
  return as[method](path, body, { 'x-request-id': requestId });
}

describe('the audit log', () => {
  it('has a row in the table of mutations for every operation that changes something', async () => {
    const changing = scanRoutes(controlPlane.app).flatMap(({ method, operation }) =>
      method === 'GET' ? [] : [operation.id],
    );
    const known = [ADMIN_MUTATIONS, UPLOADS, NODE_MUTATIONS, UNAUDITED].flatMap((table) =>
      Object.keys(table),
    );
    expect(known.sort()).toEqual(changing.sort());
  });

  it.each(Object.entries({ ...ADMIN_MUTATIONS, ...UPLOADS, ...NODE_MUTATIONS }))(
    'tells of %s',
    async (_, { prepare, actions }) => {
      const requestId = newId();
      const call = await prepare(world);
      const answer = await perform(call, requestId);
      expect(String(answer.status)).toMatch(/^2/);
      const events = await eventsOf(requestId);
      expect(events.map(({ action }) => action)).toEqual(expect.arrayContaining([...actions]));
      for (const { actor_type, actor_id, outcome, resource_id } of events) {
        if (call.as === undefined)
          expect({ actor_type, actor_id }).toEqual({ actor_type: 'bootstrap', actor_id: 'bootstrap' });
        // Only who has no identity yet has no id.
        else expect(actor_id === null).toBe(actor_type === 'anonymous');
        expect(outcome).toBe('success');
        expect(resource_id).not.toBeNull();
      }
      // One transaction: the events and the rows of the feed that tell of them.
      const [event] = events;
      expect(new Set(events.map(({ xmin }) => xmin)).size).toBe(1);
      const feed = await controlPlane.database.query(
        'SELECT 1 FROM change_feed WHERE xid::text = $1 AND kind = $2',
        [event?.xmin, event?.action],
      );
      expect(feed.length).toBeGreaterThan(0);
    },
  );

  it.each(Object.entries(ADMIN_MUTATIONS))(
    'undoes %s when it cannot tell of it',
    async (_, { prepare, actions }) => {
      const call = await prepare(world);
      const [action] = actions;
      await controlPlane.database.query(
        `ALTER TABLE audit_events ADD CONSTRAINT mute CHECK (action <> '${action}' OR outcome <> 'success') NOT VALID`,
      );
      try {
        const refused = await perform(call, newId());
        expect({ status: refused.status, code: refused.body.code }).toEqual({
          status: 500,
          code: 'internal_error',
        });
      } finally {
        await controlPlane.database.query('ALTER TABLE audit_events DROP CONSTRAINT mute');
      }
      // Nothing was done, so that it can still be done.
      const requestId = newId();
      expect(String((await perform(call, requestId)).status)).toMatch(/^2/);
      expect((await eventsOf(requestId)).map((event) => event.action)).toContain(action);
    },
  );
});
