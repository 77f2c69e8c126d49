/** Ends a command of the publisher's tool with one clear line. */
export class Failure extends Error {}

/** Something is wrong with the command line itself. */
export class UsageError extends Failure {}
