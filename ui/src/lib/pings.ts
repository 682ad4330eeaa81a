// What the last ping of each remote came to, and how long that is worth showing. Pure.

import type { Pong, Problem, RemoteStatus } from './bindings';

/** What the last ping of a remote came to. */
export interface Pinged {
  busy: boolean;
  pong: Pong | null;
  problem: Problem | null;
  /** Whether the remote's state has said the same since. */
  agreed: boolean;
}

/**
 * The pings that may stay beside a new status. One whose remote has changed its state since goes: it would say the opposite. An answer goes,
 * too, once the remote was not heard of for long. The state that
 * was shown before the ping may stand for a moment after it, and is no change.
 */
export function staying(pings: Readonly<Record<string, Pinged>>, remotes: readonly RemoteStatus[]): Record<string, Pinged> {
  const stay: Record<string, Pinged> = {};
  for (const [name, ping] of Object.entries(pings)) {
    const remote = remotes.find((one) => one.name === name);
    const reached = remote?.state?.is === 'reachable' && remote.unconfirmed === undefined;
    const agrees = reached === (ping.pong !== null);
    if (remote && (ping.busy || agrees || !ping.agreed)) stay[name] = { ...ping, agreed: !ping.busy && (ping.agreed || agrees) };
  }
  return stay;
}
