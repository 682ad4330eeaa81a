// States as people read them: a tone, an icon and words. Pure; the clock comes from the caller, in seconds since 1970.

import type { AgentView } from './bindings/shell';
import type { ClientStatus, Event, ExportStatus, ImportStatus, Layer, LayerName, RemoteStatus, Served, Status } from './bindings';

/** How a state is meant; never told by colour alone, each has its icon. */
export type Tone = 'good' | 'busy' | 'bad' | 'quiet';

export interface Said {
  tone: Tone;
  icon: 'connected' | 'ready' | 'busy' | 'waiting' | 'bad' | 'off' | 'paused' | 'expired';
  /** A word or two. */
  word: string;
  /** A sentence more, or nothing. */
  more: string;
}

/** The header's state line. */
export interface Headline extends Said {
  /** 0 to 100 while it connects. */
  percent: number | null;
}

/** `now`: in seconds since 1970. */
export function headline(view: AgentView, now: number): Headline {
  const say = (tone: Tone, icon: Said['icon'], word: string, more = '', percent: number | null = null): Headline => ({
    tone,
    icon,
    word,
    more,
    percent,
  });
  if (view.silent !== null && view.silent !== undefined) return say('bad', 'bad', 'Not answering', `Nothing was heard of the agent for ${span(Math.max(0, now - view.silent))}.`);
  switch (view.agent) {
    case 'none':
      return say('bad', 'off', 'Stopped', 'Nothing is shared or reached until the agent runs.');
    case 'other-version':
      return say('bad', 'bad', 'Needs a restart', 'An agent of another version is running.');
    case 'starting':
      return say('busy', 'busy', 'Starting', 'The agent is starting.', 0);
    case 'running': {
      const state = view.status?.agent?.state;
      switch (state?.is) {
        case undefined:
        case 'starting':
          return say('busy', 'busy', 'Starting', 'The agent is starting tor.', 0);
        case 'connecting':
          return say('busy', 'busy', 'Connecting', sentence(state.doing), state.percent);
        case 'online':
          return age(
            view.status && needsAPerson(view.status) ? say('busy', 'connected', 'Online, with a problem', 'Connected through Tor') : say('good', 'connected', 'Online', 'Connected through Tor'),
            view.status?.agent?.unconfirmed,
          );
        case 'offline': {
          // Where a problem says the cause, with what to do, this says what follows from it.
          const told = view.status?.problems.some((problem) => problem.subject?.is === 'tor');
          return say('bad', 'off', 'Offline', `${told ? 'Nothing is shared or reached.' : sentence(state.why)} ormesh keeps trying.`);
        }
        case 'paused':
          return say('quiet', 'paused', 'Paused', 'Nothing listens and tor is stopped.');
      }
    }
  }
}

/** Whether something is wrong that a person should know of at a glance; as the tray's. */
const needsAPerson = (status: Status) => status.problems.some((problem) => problem.severity !== 'note') || status.clients.some((client) => client.state?.is === 'failing');

/** A state that was proven too long ago to be certain. */
function age<S extends Said>(said: S, unconfirmed: number | undefined): S {
  if (unconfirmed === undefined) return said;
  return { ...said, tone: 'busy', icon: 'waiting', more: `not confirmed for ${span(unconfirmed)}` };
}

/** What the agent is doing, which says how a thing of its is meant: what is paused is not wrong, what listens without Tor leads nowhere, and what a silent one last said is only what was. */
export type Doing = 'paused' | 'online' | 'connecting' | 'silent' | 'none';

export function doing(view: Pick<AgentView, 'status' | 'silent'>): Doing {
  const is = view.status?.agent?.state.is;
  if (is !== undefined && view.silent !== null && view.silent !== undefined) return 'silent';
  return is === undefined ? 'none' : is === 'paused' || is === 'online' ? is : 'connecting';
}

/** Whether connections of it are turned away, for want of room. */
export const isFull = (client: ClientStatus) => (client.full?.length ?? 0) > 0 && client.state?.is !== 'failing' && client.state?.is !== 'expired';

/** What was last known, which nothing confirms any more: neither good nor on its way. */
const asOnce = (said: Said, agent: Doing): Said =>
  agent === 'silent' && said.tone !== 'bad' ? { ...said, tone: 'quiet', icon: 'waiting', word: `${said.word}, when last heard` } : said;

export const clientSaid = (client: ClientStatus, now: number, agent: Doing): Said => asOnce(clientNow(client, now, agent), agent);
export const remoteSaid = (remote: RemoteStatus, agent: Doing): Said => asOnce(remoteNow(remote, agent), agent);
export const importSaid = (of: ImportStatus, agent: Doing): Said => asOnce(importNow(of, agent), agent);

function clientNow(client: ClientStatus, now: number, agent: Doing): Said {
  const seen = client.last_seen === null ? '' : `last seen ${ago(client.last_seen, now)}`;
  // Whoever was here once is invited no more, whatever keeps its service from the network.
  if (agent === 'paused' && client.state?.is !== 'expired') return { tone: 'quiet', icon: 'paused', word: 'Paused', more: seen };
  if (isFull(client)) {
    const ports = client.full ?? [];
    const which = ports.length === 1 ? `port ${ports[0]} has` : `ports ${ports.join(', ')} have`;
    return { tone: 'bad', icon: 'bad', word: 'Full', more: `${which} no room for more connections` };
  }
  switch (client.state?.is) {
    case undefined:
      return { tone: 'quiet', icon: 'off', word: 'Not published', more: seen };
    case 'invited':
      if (client.last_seen !== null) return { tone: 'quiet', icon: 'off', word: 'Not published', more: seen };
      return { tone: 'quiet', icon: 'waiting', word: 'Invite not used yet', more: 'its service is not on the network' };
    case 'no-port':
      return { tone: 'quiet', icon: 'off', word: 'No port', more: 'nothing is shared with it now' };
    case 'publishing':
      return { tone: 'busy', icon: 'busy', word: 'Publishing', more: 'its service is on its way to the network' };
    case 'reachable':
      // That its service is there is not yet that it can be used.
      if (client.last_seen === null) return { tone: 'quiet', icon: 'waiting', word: 'Invite not used yet', more: 'its service is ready' };
      return { tone: 'good', icon: 'ready', word: 'Reachable', more: seen };
    case 'connected':
      return { tone: 'good', icon: 'connected', word: 'Connected', more: count(client.sessions, 'session') };
    case 'expired':
      return { tone: 'quiet', icon: 'expired', word: 'Expired', more: 'a new last day lets it in again' };
    case 'failing':
      return { tone: 'bad', icon: 'bad', word: 'Failing', more: sentence(client.state.why) };
  }
}

function remoteNow(remote: RemoteStatus, agent: Doing): Said {
  if (agent === 'paused') return { tone: 'quiet', icon: 'paused', word: 'Paused', more: '' };
  switch (remote.state?.is) {
    case undefined:
      return { tone: 'quiet', icon: 'off', word: 'Not running', more: '' };
    case 'unknown':
      return { tone: 'quiet', icon: 'ready', word: 'Not known yet', more: '' };
    case 'reachable':
      return age({ tone: 'good', icon: 'connected', word: 'Reachable', more: `${millis(remote.state.round_trip)} round trip` }, remote.unconfirmed);
    case 'unreachable':
      return { tone: 'bad', icon: 'bad', word: 'Unreachable', more: sentence(remote.state.why) };
  }
}

function importNow(of: ImportStatus, agent: Doing): Said {
  // Whatever keeps its connections from going on: they are there.
  if (of.through?.holding !== undefined)
    return { tone: 'busy', icon: 'waiting', word: `Holding ${count(of.through.connections, 'connection')}`, more: `waiting for the network, ${span(of.through.holding)}` };
  switch (of.state?.is) {
    case undefined:
      return { tone: 'quiet', icon: 'off', word: 'Not listening', more: '' };
    case 'opening':
      return { tone: 'busy', icon: 'busy', word: 'Opening', more: '' };
    case 'paused':
      return { tone: 'quiet', icon: 'paused', word: 'Paused', more: '' };
    case 'listening':
      if (agent === 'connecting') return { tone: 'busy', icon: 'waiting', word: 'Waiting', more: 'for Tor' };
      return of.sessions > 0
        ? { tone: 'good', icon: 'connected', word: count(of.sessions, 'connection'), more: of.through ? `over ${count(of.through.circuits, 'circuit')}` : '' }
        : { tone: 'good', icon: 'ready', word: 'Listening', more: '' };
    case 'blocked':
      return { tone: 'bad', icon: 'bad', word: 'Blocked', more: sentence(of.state.why) };
    case 'degraded':
      return { tone: 'busy', icon: 'waiting', word: 'Waiting', more: 'for its remote, which cannot be reached' };
    case 'not-exported':
      return { tone: 'bad', icon: 'bad', word: 'Not exported', more: `${of.state.by} does not export port ${of.remote_port} to this computer` };
  }
}

/** What happened, as a line of the history. */
export function eventSaid({ what }: Event): Said {
  switch (what.is) {
    case 'online':
      return { tone: 'good', icon: 'connected', word: what.again ? 'Online again' : 'Online', more: `after ${span(what.after)}` };
    case 'offline':
      return { tone: 'bad', icon: 'off', word: 'Offline', more: sentence(what.why) };
    case 'found':
      return {
        tone: 'good',
        icon: 'ready',
        word: what.after === null ? `${what.remote} reached` : `${what.remote} reached again`,
        more: what.after === null ? '' : `after ${span(what.after)}`,
      };
    case 'lost':
      return { tone: 'bad', icon: 'bad', word: `${what.remote} lost`, more: sentence(what.why) };
    case 'connected':
      return { tone: 'good', icon: 'connected', word: `${what.client} connected`, more: 'for the first time' };
    case 'began':
      return { tone: 'bad', icon: 'bad', word: 'Problem', more: sentence(what.what) };
    case 'ended':
      return { tone: 'good', icon: 'ready', word: 'Solved', more: sentence(what.what) };
  }
}

/** Who may connect to an import on loopback, and whether one on another address is open to more than this computer. */
export function importUsers(of: ImportStatus): { who: string; wide: boolean } {
  if (of.users === undefined) return { who: 'you alone', wide: false };
  if (of.users === 'me') return { who: 'you and root', wide: false };
  return { who: 'every user of this computer', wide: of.note !== undefined };
}

/** The layers of `doctor`: which part of the way they belong to, and what they are called. */
const LAYERS: Record<LayerName, [place: 'Here' | 'Tor' | 'There', name: string]> = {
  agent: ['Here', 'The agent'],
  secrets: ['Here', 'The keys'],
  tor: ['Here', 'The tor program'],
  clock: ['Here', 'The clock'],
  network: ['Here', 'The network'],
  bootstrap: ['Tor', 'Joining Tor'],
  descriptor: ['Tor', 'Publishing the address'],
  introduction: ['Tor', 'Meeting points'],
  listeners: ['Here', 'Room for connections'],
  key: ['There', 'The key'],
  rendezvous: ['There', 'Getting through'],
  port: ['There', 'The port'],
};

/** The layers before any was tried. */
export const UNTRIED: Layer[] = (Object.keys(LAYERS) as LayerName[]).map((layer) => ({ layer, ok: null, sentence: '', hint: null }));

/** A layer's name, and the part of the way that it is on. */
export function layerName(layer: Layer): { place: 'Here' | 'Tor' | 'There'; name: string } {
  const [place, name] = LAYERS[layer.layer];
  return { place, name };
}

/** The layers of each remote together, in the order in which they come. */
export function ends(layers: Layer[]): Layer[][] {
  const groups: Layer[][] = [];
  for (const layer of layers) {
    const last = groups.at(-1);
    if (last?.[0]!.remote === layer.remote && last) last.push(layer);
    else groups.push([layer]);
  }
  return groups;
}

/** A problem's message as a sentence: a capital at its start, a full stop at its end. Names stay as they are. */
export function sentence(text: string, names: readonly string[] = []): string {
  const trimmed = text.trim();
  if (trimmed === '') return '';
  const [first] = trimmed.split(/[\s,;:.']/);
  // The name of a setting is written as it is: `agent.socks-addr`.
  const start = /^[a-z]+(?:[\s,;:']|\.(?!\S)|$)/.test(trimmed) && !/^(tor|ormesh|unix)\b/.test(trimmed) && !names.includes(first!);
  const capital = start ? trimmed[0]!.toUpperCase() + trimmed.slice(1) : trimmed;
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}

/** `anna`, `anna and ben`, `anna, ben and 7 more`. */
export function names(all: readonly string[]): string {
  const MOST = 5;
  if (all.length > MOST) return `${all.slice(0, MOST).join(', ')} and ${all.length - MOST} more`;
  return all.length < 2 ? all.join('') : `${all.slice(0, -1).join(', ')} and ${all.at(-1)}`;
}

/** The ports that a client may open, now and later. */
export function mayOpen(client: ClientStatus): string {
  const now = client.may_reach ?? client.ports ?? [];
  const ports = now.length === 0 ? '' : `${now.length === 1 ? 'port' : 'ports'} ${now.join(', ')}`;
  if (client.ports !== null) return ports || 'none';
  return ports ? `${ports}, and later exports for all clients` : 'all exports';
}

/** Whether an export is for a client: both lists must agree. */
export const isFor = (one: ExportStatus, client: ClientStatus) =>
  (one.clients === undefined || one.clients.includes(client.name)) && (client.ports === null || client.ports.includes(one.port));

export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** `40 s`, `5 min`, `3 h`, `2 days`. */
function span(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h` : count(Math.floor(seconds / 86_400), 'day');
}

/** `just now`, `5 min ago`, `3 h ago`, `2 days ago`, then the date. */
export function ago(then: number, now: number): string {
  const seconds = Math.max(0, now - then);
  if (seconds < 60) return 'just now';
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  if (seconds < 14 * 86_400) return `${count(Math.floor(seconds / 86_400), 'day')} ago`;
  return `on ${dayName(new Date(then * 1000).toISOString().slice(0, 10))}`;
}

export function uptime(seconds: number): string {
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 2 * 86_400) return `${Math.floor(seconds / 3600)} h`;
  return count(Math.floor(seconds / 86_400), 'day');
}

/** Decimal units, as disks and networks have them. */
export function bytes(number: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  let value = number;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function millis(number: number): string {
  return number >= 10_000 ? `${Math.round(number / 1000)} s` : number >= 1000 ? `${(number / 1000).toFixed(1)} s` : `${number} ms`;
}

/** `abcdefgh…wxyz.onion`, for where the whole is a click away. */
export function short(address: string): string {
  return address.length > 24 ? `${address.slice(0, 8)}…${address.slice(-10)}` : address;
}

/** What usually answers at a port: a help for people, nothing depends on it. */
export function service(port: number): string | null {
  const known: Record<number, string> = {
    22: 'SSH', 25: 'mail (SMTP)', 53: 'DNS', 80: 'web', 143: 'mail (IMAP)', 443: 'web (TLS)', 445: 'files (SMB)', 465: 'mail (SMTPS)',
    548: 'files (AFP)', 587: 'mail (submission)', 631: 'printing', 993: 'mail (IMAPS)', 1883: 'MQTT', 3000: 'web app', 3306: 'MySQL',
    3389: 'remote desktop', 5000: 'web app', 5432: 'PostgreSQL', 5900: 'screen (VNC)', 6379: 'Redis', 8000: 'web app', 8080: 'web app',
    8096: 'Jellyfin', 8123: 'Home Assistant', 8384: 'Syncthing', 8443: 'web (TLS)', 8888: 'web app', 9000: 'web app', 9090: 'web app',
    25565: 'Minecraft', 32400: 'Plex',
  };
  return known[port] ?? null;
}

/** What could be shared, what people know first; each with the name of its program, or what usually answers at that port. */
export function served(found: Served[]): { port: number; what: string }[] {
  // From 32768 on, programs mostly have ports that they did not choose.
  const rank = (one: Served) => (service(one.port) !== null ? 0 : one.port >= 32_768 ? 3 : one.program !== undefined ? 1 : 2);
  const chips = [...found].sort((a, b) => rank(a) - rank(b) || a.port - b.port);
  return chips.map(({ port, program }) => ({ port, what: program ?? service(port) ?? '' }));
}

/** A name for another host or person that is not taken: the word itself, or with the next number. */
export function freeName(word: string, taken: string[]): string {
  const used = new Set(taken.map((name) => name.toLowerCase()));
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? word : `${word}-${number}`;
    if (!used.has(name)) return name;
  }
}

/** How an import is used, as text to copy: a command for a terminal, or an address for a browser; none where neither is usual. */
export function usage(port: number, listen: string): string | null {
  const at = /^(.*):(\d+)$/.exec(listen);
  if (!at) return null;
  // An address that means "all of this computer's" is none to connect to.
  const host = at[1] === '0.0.0.0' ? '127.0.0.1' : at[1] === '[::]' ? '[::1]' : at[1]!;
  const bare = host.replace(/^\[|\]$/g, '');
  const local = at[2]!;
  if (isWeb(port)) return `${port === 443 || port === 8443 ? 'https' : 'http'}://${host}:${local}/`;
  if (port === 22) return `ssh -p ${local} ${bare}`;
  if (port === 5432) return `psql -h ${bare} -p ${local}`;
  if (port === 3306) return `mysql -h ${bare} -P ${local}`;
  if (port === 6379) return `redis-cli -h ${bare} -p ${local}`;
  return null;
}

/** Where tor was found, as the core names the place. */
export function torFound(found: string): string {
  const [place, ...rest] = found.split('; ');
  const said = place === 'PATH' ? 'found in PATH' : place === 'beside ormesh' ? 'the one that comes with ormesh' : place === 'agent.tor-path' ? 'the one that is named below' : `named by ${place}`;
  return [said, ...rest].join('; ');
}

/** A bridge by its transport and address, without what is secret in its line. */
export function bridgeName(line: string): string {
  const [transport, address] = /^[a-z]/i.test(line) ? line.split(' ') : ['', line.split(' ')[0]];
  return [transport, address].filter(Boolean).join(' ');
}

/** A day as people write it, `31 December 2026`, from `2026-12-31`. */
export function dayName(day: string): string {
  const date = new Date(`${day}T12:00:00Z`);
  return Number.isNaN(date.getTime()) ? day : new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' }).format(date);
}

/** A noun or a name at the start of a line. */
export const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** Whether a browser is the likely way to use an import. */
export function isWeb(port: number): boolean {
  return [80, 443, 3000, 5000, 8000, 8080, 8096, 8123, 8384, 8443, 8888, 9000, 9090, 32400].includes(port);
}

/** The day that an expiry checked by the core means, seen from now: `30d`, `12w` or a day; as core's `Day::parse_expiry`. */
export function expiryDay(text: string, now: number): string {
  const span = /^(\d+)([dw])$/.exec(text);
  if (!span) return text;
  const days = Number(span[1]) * (span[2] === 'w' ? 7 : 1);
  return new Date((now + days * 86_400) * 1000).toISOString().slice(0, 10);
}
