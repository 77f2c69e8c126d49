import { median } from './statistics.mjs';

/** About as long as what is signed: a snapshot's payload, and as what is verified: an assertion. */
const SIGNED_BYTES = 800;
const VERIFIED_BYTES = 400;

/** The raw rates of one thread, which are limits of other figures. */
export async function measureSignatures({ load }, { rounds, roundMs }) {
  const rates = { sign: [], verify: [] };
  for (let round = 0; round < rounds; round += 1) {
    rates.sign.push((await load.do('sign', { durationMs: roundMs / 2, sizeBytes: SIGNED_BYTES })).perSecond);
    rates.verify.push(
      (await load.do('verify', { durationMs: roundMs / 2, sizeBytes: VERIFIED_BYTES })).perSecond,
    );
  }
  const [signsPerSecond, verifiesPerSecond] = [median(rates.sign), median(rates.verify)];
  const row = (id, name, figure) => ({ id, name, figure, unit: '/s', limit: null, aim: null });
  const rows = [
    row('ed25519_sign', 'Ed25519 signatures, one thread', signsPerSecond),
    row('ed25519_verify', 'Ed25519 verifications, one thread', verifiesPerSecond),
  ];
  return { signsPerSecond, verifiesPerSecond, rows };
}

/** Join requests with one token, and their approval by the owner. */
export async function measureEnrollment(fleet, { enrolled }, { verifiesPerSecond }) {
  await fleet.enroll(Math.ceil(enrolled / 4));
  const { received, approved } = await fleet.enroll(enrolled);
  const limit = { name: 'Ed25519 verify', figure: verifiesPerSecond };
  return [
    {
      id: 'enrollments',
      name: 'Join requests, proof verified',
      figure: received.perSecond,
      unit: '/s',
      limit,
      aim: null,
    },
    {
      id: 'approvals',
      name: 'Join requests approved, with a role',
      figure: approved.perSecond,
      unit: '/s',
      limit,
      aim: null,
    },
  ];
}

/** Access tokens for client assertions, which are verified, and taken once. */
export async function measureTokens(fleet, rounds, { verifiesPerSecond }) {
  const rates = [];
  for (let round = 0; round < rounds; round += 1) {
    fleet.forgetTokens();
    rates.push((await fleet.authenticate(fleet.nodes.length)).perSecond);
  }
  const limit = { name: 'Ed25519 verify', figure: verifiesPerSecond };
  return [
    {
      id: 'node_tokens',
      name: 'Node tokens, assertion verified',
      figure: median(rates),
      unit: '/s',
      limit,
      aim: null,
    },
  ];
}
