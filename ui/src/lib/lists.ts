// Long lists: what is shown of them at first, and what a search leaves. Pure.

import type { ClientStatus, ExportStatus, ImportStatus, RemoteStatus } from './bindings';
import { clientSaid, importSaid, remoteSaid, service, type Doing } from './words';

/** How many rows are shown before one asks for the rest. */
export const ROOM = { exports: 10, clients: 15, imports: 8, remotes: 20 };

/** From how many rows on a column has a search. */
export const SEARCHED = 12;

/** The first of a long list, in its order; what is notable is always among them, so nothing that needs a person is folded away. */
export function leading<T>(all: T[], room: number, notable: (one: T) => boolean = () => false): T[] {
  // One or two more are shown rather than folded behind a button of their own height.
  if (all.length <= room + 2) return all;
  const kept = new Set(all.filter(notable));
  for (const one of all) {
    if (kept.size >= room) break;
    kept.add(one);
  }
  return all.filter((one) => kept.has(one));
}

/** Every word typed is somewhere in the text. */
export function fits(typed: string, ...texts: (string | number | null)[]): boolean {
  const text = texts.join(' ').toLowerCase();
  return typed.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

export const fitsExport = (typed: string, one: ExportStatus) => fits(typed, one.port, one.target, service(one.port));

export function fitsClient(typed: string, one: ClientStatus, now: number, agent: Doing): boolean {
  return fits(typed, one.name, one.address, clientSaid(one, now, agent).word, one.expires, one.ports?.join(' ') ?? '');
}

export const fitsImport = (typed: string, one: ImportStatus, remote: string, agent: Doing) =>
  fits(typed, remote, one.listen, one.remote_port, service(one.remote_port), importSaid(one, agent).word);

/** What is left of a remote: all of it when it is meant itself, else the imports that are; null when there is nothing. */
export function fitRemote(typed: string, one: RemoteStatus, agent: Doing): RemoteStatus | null {
  if (fits(typed, one.name, one.address, remoteSaid(one, agent).word)) return one;
  const imports = one.imports.filter((of) => fitsImport(typed, of, one.name, agent));
  return imports.length > 0 ? { ...one, imports } : null;
}
