// Traffic and sessions over the last minutes, for charts: sampled from the counters of each status. Pure but for what it remembers.

import type { Status } from './bindings';

/** What passed in one sampling interval, as seen from this host. */
export interface Sample {
  /** Bytes a second, received. */
  down: number;
  /** Bytes a second, sent. */
  up: number;
  /** Open sessions at its end. */
  sessions: number;
}

/** Oldest first. */
export type Series = readonly Sample[];

/** How many samples are kept, how many of these a row shows, and how far apart they are taken, in milliseconds. */
export const SAMPLES = 200;
export const RECENT = 40;
export const INTERVAL = 1500;

const STILL: Sample = Object.freeze({ down: 0, up: 0, sessions: 0 });

interface Counted {
  down: number;
  up: number;
  sessions: number;
}

/** Remembers counters by who they belong to and turns them into rates. */
export class Traffic {
  #last = new Map<string, Counted>();
  #series: ReadonlyMap<string, Series>;

  /** @param past what is known from before, by the same keys */
  constructor(past: ReadonlyMap<string, Series> = new Map()) {
    this.#series = past;
  }

  /** Takes a sample; what is no longer there is forgotten, a counter that fell (the agent was restarted) begins anew. */
  sample(status: Status | null): ReadonlyMap<string, Series> {
    const now = new Map<string, Counted>();
    for (const { name, bytes, sessions } of status?.clients ?? []) now.set(key.client(name), { down: bytes[0], up: bytes[1], sessions });
    for (const remote of status?.remotes ?? [])
      for (const { listen, bytes, sessions } of remote.imports) now.set(key.import(listen), { down: bytes[1], up: bytes[0], sessions });
    const next = new Map<string, Series>();
    for (const [who, counted] of now) {
      const before = this.#last.get(who);
      const series = this.#series.get(who) ?? [];
      // A rate takes two counts.
      if (before === undefined) next.set(who, series);
      else {
        const rate = (way: 'down' | 'up') => ((counted[way] < before[way] ? 0 : counted[way] - before[way]) * 1000) / INTERVAL;
        next.set(who, [...series, { down: rate('down'), up: rate('up'), sessions: counted.sessions }].slice(-SAMPLES));
      }
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

/** The last so many samples, with stillness before the first. */
export function recent(series: Series | undefined, many: number): Series {
  const known = (series ?? []).slice(-many);
  return [...new Array<Sample>(many - known.length).fill(STILL), ...known];
}

/** The points of an SVG line through values, in a box, with `top` at its upper edge and 0 at its foot. */
export function points(values: number[], width: number, height: number, top: number): string {
  const step = width / Math.max(1, values.length - 1);
  return values.map((value, at) => `${(at * step).toFixed(1)},${(height - 1 - (value / top) * (height - 2)).toFixed(1)}`).join(' ');
}

/** The same as steps: each value holds until the next. */
export function steps(values: number[], width: number, height: number, top: number): string {
  const step = width / Math.max(1, values.length);
  const y = (value: number) => (height - (value / top) * (height - 1)).toFixed(1);
  return values.map((value, at) => `${(at * step).toFixed(1)},${y(value)} ${((at + 1) * step).toFixed(1)},${y(value)}`).join(' ');
}

/** The next round number above: 1, 2 or 5 times a power of ten. */
export function rounded(value: number): number {
  if (value <= 10) return 10;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((one) => one * power >= value) ?? 10) * power;
}
