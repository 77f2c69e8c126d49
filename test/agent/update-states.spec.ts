import { describe, expect, it } from '@jest/globals';
import { DISRUPTED_STATES, NEXT_UPDATE_STATES, UPDATE_STATES } from '../../agent/updates/update-state.js';
import {
  DISRUPTED_UPDATE_STATES,
  NEXT_NODE_UPDATE_STATES,
  NODE_UPDATE_STATES,
} from '../../src/modules/rollouts/engine/node-update.js';

describe('the states of a node update', () => {
  it('are the same to the agent and to the service, with what may follow each', () => {
    expect(UPDATE_STATES).toEqual(NODE_UPDATE_STATES);
    expect(DISRUPTED_STATES).toEqual(DISRUPTED_UPDATE_STATES);
    expect(NEXT_UPDATE_STATES).toEqual(NEXT_NODE_UPDATE_STATES);
  });
});
