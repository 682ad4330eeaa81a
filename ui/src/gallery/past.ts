// Traffic as it might have been in the last minutes, for the gallery's charts: made up, and the same each time.

import type { Status } from '../lib/bindings';
import { INTERVAL, SAMPLES, key, type Sample, type Series } from '../lib/traffic';

/** A history for whoever has moved anything. */
export function past(status: Status | null): ReadonlyMap<string, Series> {
  const all = new Map<string, Series>();
  for (const one of status?.clients ?? []) if (one.bytes[0] + one.bytes[1] > 0) all.set(key.client(one.name), series(one.name, one.bytes[0], one.bytes[1], one.sessions));
  for (const remote of status?.remotes ?? [])
    for (const one of remote.imports)
      if (one.bytes[0] + one.bytes[1] > 0) all.set(key.import(one.listen), series(one.listen, one.bytes[1], one.bytes[0], one.sessions));
  return all;
}

/** Bursts and pauses, by a generator that starts from the name. */
function series(name: string, down: number, up: number, sessions: number): Series {
  let seed = [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 2_147_483_647, 7);
  const next = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
  const samples: Sample[] = [];
  let burst = 0;
  let height = 0;
  for (let at = 0; at < SAMPLES; at += 1) {
    if (burst <= 0 && next() < (sessions > 0 ? 0.12 : 0.015)) {
      burst = 6 + Math.floor(next() * 24);
      height = 0.2 + 0.8 * next();
    }
    burst -= 1;
    const level = burst > 0 ? height * (0.55 + 0.45 * next()) : 0;
    const second = 1000 / INTERVAL / 60;
    samples.push({ down: down * level * second, up: up * level * second * (0.7 + 0.3 * next()), sessions: sessions + (burst > 0 && next() < 0.3 ? 1 : 0) });
  }
  return samples;
}
