import type { JoinWish } from './agent-state.js';
import { capabilitiesOf } from './capabilities.js';
import { discoverFacts, discoverTraits, type Facts } from './discovery.js';

/** What this host reports about itself: what is seen, and on top of it what the operator declared. */
export async function describeHost(wish: JoinWish): Promise<{ facts: Facts; capabilities: string[] }> {
  const traits = await discoverTraits();
  const discovered = wish.discover ? capabilitiesOf(traits) : [];
  return {
    facts: { ...(await discoverFacts(traits)), ...wish.facts },
    capabilities: [...new Set([...discovered, ...wish.capabilities])].sort(),
  };
}
