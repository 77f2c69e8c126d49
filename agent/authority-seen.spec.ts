import { expect, it } from '@jest/globals';
import { AuthoritySeen } from './authority-seen.js';

it('gives back the holder of a term that is also the one of the snapshot, and no other', () => {
  let term: number | null = null;
  const seen = new AuthoritySeen(() => term);
  expect(seen.report()).toEqual({});
  seen.heard({ authorityTerm: 1, authorityHolder: 'here' });
  expect(seen.report()).toEqual({});
  term = 1;
  expect(seen.report()).toEqual({ authorityHolderSeen: 'here' });
  seen.heard({ authorityTerm: 2, authorityHolder: 'there' }); // the snapshot of that term is still to come
  expect(seen.report()).toEqual({});
  term = 2;
  expect(seen.report()).toEqual({ authorityHolderSeen: 'there' });
  seen.heard({ authorityTerm: 2 });
  expect(seen.report()).toEqual({});
});
