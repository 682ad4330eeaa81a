// Traffic over the last minutes, for sparklines: sampled from the counters of each status. Pure but for what it remembers.

import type { Status } from './bindings';

/** Bytes in each sampling interval, oldest first: both ways together. */
export type Series = number[];

/** How many samples are kept, and how far apart they are taken, in milliseconds. */
export const SAMPLES = 40;
export const INTERVAL = 1500;

/** Remembers counters by who they belong to and turns them into rates. */
export class Traffic {
  #last = new Map<string, number>();
  #series = new Map<string, Series>();

  /** Takes a sample; what is no longer there is forgotten, a counter that fell (the agent was restarted) begins anew. */
  sample(status: Status | null): ReadonlyMap<string, Series> {
    const now = new Map<string, number>();
    for (const client of status?.clients ?? []) now.set(key.client(client.name), client.bytes[0] + client.bytes[1]);
    for (const remote of status?.remotes ?? [])
      for (const one of remote.imports) now.set(key.import(one.listen), one.bytes[0] + one.bytes[1]);
    const next = new Map<string, Series>();
    for (const [who, total] of now) {
      const before = this.#last.get(who);
      const rate = before === undefined || total < before ? 0 : total - before;
      next.set(who, [...(this.#series.get(who) ?? new Array<number>(SAMPLES).fill(0)), rate].slice(-SAMPLES));
    }
    this.#last = now;
    this.#series = next;
    return next;
  }
}

export const key = {
  client: (name: string) => `client ${name}`,
  import: (listen: string) => `import ${listen}`,
};

/** The points of an SVG polyline in a box; a flat line at its foot when nothing moved. */
export function points(series: Series, width: number, height: number): string {
  const top = Math.max(1, ...series);
  const step = width / Math.max(1, series.length - 1);
  return series.map((value, at) => `${(at * step).toFixed(1)},${(height - 1 - (value / top) * (height - 2)).toFixed(1)}`).join(' ');
}
