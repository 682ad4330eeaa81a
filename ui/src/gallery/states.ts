// Every state of the window, with what the shell would have said.

import type { Ask } from '../lib/asks';
import type { AgentState, Event, Layer, LayerName, Problem, Served, Status } from '../lib/bindings';
import type { AgentView } from '../lib/bindings/shell';
import * as asking from '../lib/confirmations';
import { problemOf } from '../lib/problems';
import type { Page } from '../lib/views/Header.svelte';
import { INVITE_TEXT, qr, type Given } from './mock';

/** The moment at which the gallery stands: 2026-11-22 12:00 UTC. */
export const NOW = 1_795_348_800;

const onion = (start: string) => (start + 'qk3v7wz2m6c5d4e3f2a7b6c5d4e3f2a7b6c5d4e3f2a7b6c5d4e3f2ad').slice(0, 56) + '.onion';

const full: Status = {
  version: 2,
  agent: {
    version: '0.1.0',
    pid: 4711,
    uptime: 19_800,
    state: { is: 'online' },
    tor: { version: '0.4.9.11', path: '/usr/bin/tor', found: 'on the PATH' },
    socks: '127.0.0.1:9250',
    network: null,
    secrets: 'os-keyring',
  },
  exports: [
    { target: '127.0.0.1:22', port: 22 },
    { target: '127.0.0.1:3000', port: 80 },
    { target: '192.168.1.10:8123', port: 8123 },
    { target: 'unix:/run/postgresql/.s.PGSQL.5432', port: 5432, clients: ['build-server', 'workshop'] },
  ],
  clients: [
    { name: 'anna-laptop', address: onion('annalap'), ports: [80], may_reach: [80], expires: '2026-12-31', state: { is: 'connected' }, sessions: 2, bytes: [1_234_567, 48_300_120], last_seen: NOW - 4 },
    { name: 'build-server', address: onion('buildsv'), ports: null, may_reach: [22, 80, 5432, 8123], expires: null, state: { is: 'reachable' }, sessions: 0, bytes: [88_000, 61_000], last_seen: NOW - 10_900 },
    { name: 'my-MacBook', address: onion('mymacbo'), ports: null, may_reach: [22, 80, 8123], expires: null, state: { is: 'invited' }, sessions: 0, bytes: [0, 0], last_seen: null },
    { name: 'old-phone', address: onion('oldphon'), ports: [22, 80], expires: '2026-11-01', state: { is: 'expired' }, sessions: 0, bytes: [0, 0], last_seen: NOW - 2_500_000 },
    { name: 'tablet', address: onion('tabletx'), ports: null, may_reach: [22, 80, 8123], expires: null, state: { is: 'publishing' }, sessions: 0, bytes: [0, 0], last_seen: NOW - 90_000 },
    { name: 'workshop', address: onion('worksho'), ports: null, may_reach: [22, 80, 5432, 8123], expires: null, state: { is: 'failing', why: 'its key is not in the secret store' }, sessions: 0, bytes: [0, 0], last_seen: null },
  ],
  remotes: [
    { name: 'cabin', address: onion('cabinxx'), expires: null, state: { is: 'unknown' }, imports: [] },
    {
      name: 'home-server',
      address: onion('homesrv'),
      expires: null,
      state: { is: 'reachable', round_trip: 312 },
      offers: [22, 25, 8123, 5432, 9999],
      imports: [
        { listen: '127.0.0.1:10022', remote_port: 22, users: 'me', state: { is: 'listening' }, sessions: 1, through: { connections: 1, circuits: 2 }, bytes: [22_000, 1_900_000] },
        { listen: '127.0.0.1:8123', remote_port: 8123, users: 'all', state: { is: 'listening' }, sessions: 0, bytes: [450_000, 9_700_000] },
        { listen: '0.0.0.0:25', remote_port: 25, users: 'all', note: 'everyone who can reach this machine can connect to 0.0.0.0:25, and so to port 25 of home-server', state: { is: 'blocked', why: 'port 25 is in use by exim4 (pid 812)' }, sessions: 0, bytes: [0, 0] },
      ],
    },
    {
      name: 'office',
      address: onion('officex'),
      expires: '2026-12-31',
      state: { is: 'unreachable', why: 'its service is not published: the computer is off or not online' },
      imports: [{ listen: '127.0.0.1:15432', remote_port: 5432, users: 'all', state: { is: 'degraded' }, sessions: 3, through: { connections: 3, circuits: 0, holding: 42 }, bytes: [0, 0] }],
    },
  ],
  requests: ['studio'],
  problems: [],
};

/** A host on a good day, as the README shows it. */
const calm: Status = {
  ...full,
  exports: full.exports.slice(0, 3),
  clients: full.clients.slice(0, 3),
  remotes: [
    {
      ...full.remotes[1]!,
      imports: [
        { listen: '127.0.0.1:8123', remote_port: 8123, users: 'all', state: { is: 'listening' }, sessions: 1, bytes: [450_000, 9_700_000] },
        { listen: '127.0.0.1:10022', remote_port: 22, users: 'all', state: { is: 'listening' }, sessions: 1, bytes: [22_000, 1_900_000] },
        { listen: '127.0.0.1:32400', remote_port: 32_400, users: 'all', state: { is: 'listening' }, sessions: 0, bytes: [120_000, 88_200_000] },
      ],
    },
    {
      ...full.remotes[2]!,
      state: { is: 'reachable', round_trip: 468 },
      imports: [{ listen: '127.0.0.1:15432', remote_port: 5432, users: 'all', state: { is: 'listening' }, sessions: 0, bytes: [61_000, 304_000] }],
    },
  ],
};

const empty: Status = { ...full, exports: [], clients: [], remotes: [], requests: [] };

const running = (status: Status, problem: Problem | null = null): AgentView => ({ agent: 'running', status, problem, silent: null, ours: true });
/** As the core derives it while there is no connection: no service is published, no session is open, imports listen. */
const unconnected = (state: AgentState, problems: Problem[] = [], bridges?: number): AgentView =>
  running({
    ...full,
    agent: full.agent && { ...full.agent, state, tor: state.is === 'starting' ? null : full.agent.tor, ...(bridges && { bridges }) },
    clients: full.clients.map((one) => ({ ...one, state: one.state?.is === 'expired' ? one.state : { is: 'invited' }, sessions: 0 })),
    remotes: full.remotes.map((one) => ({
      ...one,
      state: { is: 'unknown' },
      imports: one.imports.map((of) => ({ ...of, sessions: 0, state: state.is === 'paused' ? { is: 'paused' } : state.is === 'starting' ? { is: 'opening' } : (of.state?.is === 'blocked' ? of.state : { is: 'listening' }) })),
    })),
    problems,
  });

/** Much of everything: 100 clients, 30 exports, 200 imports of 8 remotes. */
function many(): Status {
  const states = (['reachable', 'reachable', 'reachable', 'connected', 'reachable', 'invited', 'reachable', 'expired', 'reachable', 'publishing'] as const).map((is) => ({ is }));
  const ports = [22, 25, 80, 143, 443, 445, 587, 631, 993, 1883, 3000, 3306, 3389, 5000, 5432, 5900, 6379, 8000, 8080, 8096, 8123, 8384, 8443, 8888, 9000, 9090, 9100, 25_565, 32_400, 51_413];
  const places = ['attic', 'barn', 'cellar', 'depot', 'farm', 'garage', 'harbour', 'island'];
  const kinds = ['laptop', 'phone', 'sensor', 'server', 'tablet'];
  const two = (number: number) => String(number).padStart(2, '0');
  return {
    ...full,
    exports: ports.map((port) => ({ target: `127.0.0.1:${port}`, port })),
    clients: Array.from({ length: 100 }, (_, at) => {
      const state = at === 77 ? { is: 'failing' as const, why: 'its key is not in the secret store' } : states[at % 10]!;
      const seen = state.is !== 'invited' && state.is !== 'failing';
      return {
        name: `${places[Math.floor(at / 13)]}-${kinds[at % 5]}-${two(at)}`,
        address: onion(`client${two(at).replaceAll('0', 'a').replaceAll('1', 'b').replaceAll('8', 'c').replaceAll('9', 'd')}`),
        ports: at % 3 === 0 ? [22, 80, 443] : null,
        expires: state.is === 'expired' ? '2026-11-01' : at % 7 === 0 ? '2027-06-30' : null,
        state,
        sessions: state.is === 'connected' ? (at % 4) + 1 : 0,
        // Beyond the first of the list: it is shown all the same.
        ...(at === 82 ? { full: [22, 443] } : {}),
        bytes: seen ? [at * 31_337, at * 271_828] : [0, 0],
        last_seen: seen ? NOW - at * 977 : null,
      };
    }),
    remotes: places.map((name, at) => ({
      name,
      address: onion(name),
      expires: null,
      state: at === 5 ? { is: 'unreachable', why: 'its service is not published: the computer is off or not online' } : { is: 'reachable', round_trip: 240 + at * 31 },
      imports: Array.from({ length: 25 }, (_, nth) => ({
        listen: `127.0.0.1:${20_000 + at * 100 + nth}`,
        remote_port: ports[nth]!,
        users: 'all',
        state: at === 5 ? { is: 'degraded' } : at === 2 && nth === 20 ? { is: 'blocked', why: 'port 20220 is in use by python3 (pid 3141)' } : { is: 'listening' },
        sessions: nth % 9 === 4 ? 1 : 0,
        bytes: nth % 3 === 0 ? [nth * 5_000, nth * 91_000] : [0, 0],
      })),
    })),
    requests: [],
  };
}

const LONG = 'a-very-long-name-that-somebody-gave-to-their-computer-_____-0063';
/** Names of 63 characters, IPv6 addresses, socket paths, and reasons that go on. */
const long: Status = {
  ...full,
  exports: [
    { target: '[2001:db8:85a3:8d3:1319:8a2e:370:7348]:65535', port: 65_535 },
    { target: 'unix:/run/user/1000/some/where/deep/inside/of/a/directory/that/has/a/long/name/application.sock', port: 8080, clients: [LONG, LONG.replace('0063', '0064').slice(1)] },
  ],
  clients: [
    { ...full.clients[0]!, name: LONG, ports: Array.from({ length: 32 }, (_, at) => 60_000 + at), may_reach: Array.from({ length: 32 }, (_, at) => 60_000 + at) },
    { ...full.clients[2]!, name: LONG.replace('0063', '0064').slice(1) },
    { ...full.clients[5]!, name: 'W'.repeat(63), state: { is: 'failing', why: 'the service did not accept its key: tor refused ADD_ONION with "552 Unrecognized key", and it is tried again in 4 minutes' } },
  ],
  remotes: [
    {
      ...full.remotes[1]!,
      name: LONG,
      state: { is: 'unreachable', why: 'its service is not published, or this computer is not let in any more; the computer may also be off, asleep, or without a connection to Tor' },
      imports: [
        { listen: '[2001:db8:85a3:8d3:1319:8a2e:370:7348]:10022', remote_port: 22, users: 'me', note: 'connections to [2001:db8:85a3:8d3:1319:8a2e:370:7348]:10022 from other machines are refused, since it is for this user alone; `ormesh import add` without --only-me lets them in', state: { is: 'listening' }, sessions: 128, bytes: [123_400_000_000, 987_600_000_000] },
        { listen: 'unix:/run/user/1000/some/where/deep/inside/of/a/directory/that/has/a/long/name/application.sock', remote_port: 5432, state: { is: 'blocked', why: 'the address is held by gnome-remote-desktop-daemon (pid 4194304), which listens on all addresses of this computer' }, sessions: 0, bytes: [0, 0] },
      ],
    },
  ],
  requests: [LONG.slice(1)],
  problems: [],
};

/** More problems than anyone reads at once. */
const failing = (number: number): Problem[] =>
  Array.from({ length: number }, (_, at) =>
    problemOf('address-in-use', `port ${20_000 + at} is in use by python3 (pid ${3141 + at})`, 'end that program, or import to another port', {
      subject: { is: 'import', id: `127.0.0.1:${20_000 + at}` },
    }),
  );

const crowded = problemOf('full', 'port 22 for laptop is full: 512 of 512; 3 connections were turned away', 'close some, or allow more: ormesh config set agent.max-sessions NUMBER', {
  kind: 'refused',
  severity: 'warning',
  since: NOW - 300,
  subject: { is: 'export', id: 22 },
});
const curious = problemOf('user-refused', "user 1001 was refused at 127.0.0.1:10022 (once): it is for this agent's user alone", 'to let everyone in, delete the import 127.0.0.1:10022 and add it without --only-me', {
  kind: 'refused',
  severity: 'note',
  subject: { is: 'import', id: '127.0.0.1:10022' },
});

const lost = problemOf(
  'config-lost',
  'the configuration /home/anna/.config/ormesh/config.toml is empty, and names none of 4 exports, 5 clients and 3 remotes; the last good one stays in force',
  'put it back, or have `ormesh config restore` do that; `ormesh config accept` confirms that all this is to go',
  { kind: 'refused', subject: { is: 'configuration' } },
);

const broken = problemOf('config-mistake', 'line 12, column 3: unknown key "exprots"', 'mend the file, or ask: ormesh config check', {
  kind: 'usage',
  subject: { is: 'configuration' },
});

const locked = problemOf('store-locked', 'the secret store is locked: its password was asked for and not given', 'type the keyring’s password when it is asked for, or log in', {
  kind: 'secrets',
  subject: { is: 'store' },
});

/** Keys can be read all the same. */
const noRoom = problemOf('store-full', 'failed to write canary-812 in /home/anna/.local/state/ormesh/secrets: No space left on device (os error 28)', 'free some space and try again', {
  kind: 'failed',
  subject: { is: 'store' },
});

/** As the core's doctor says it, for two remotes. `over` replaces by layer, or by layer and remote; behind `from` nothing was tried. */
const layers = (over: Record<string, Partial<Layer>> = {}, from: string | null = null): Layer[] => {
  const good = (layer: LayerName, sentence: string, remote?: string): Layer => ({ layer, ok: true, sentence, hint: null, ...(remote && { remote }) });
  const all: Layer[] = [
    good('agent', 'process 4711 has been running for 5 h'),
    good('secrets', 'the system’s keyring can be used; all 7 keys that are needed are there'),
    good('tor', 'tor 0.4.9.11 at /usr/bin/tor runs (found in PATH)'),
    good('clock', '2026-11-22 12:00 UTC is within the Tor network’s consensus, 11:00 to 14:00'),
    good('network', 'connected to 3 relays of Tor'),
    good('bootstrap', 'connected to the Tor network'),
    good('descriptor', 'published for all 5 clients (at least 6 directories have it)'),
    good('introduction', 'ready for all 5 clients (at least 3 introduction points stand)'),
    good('listeners', 'imports, exports and the SOCKS address take connections'),
    ...['home-server', 'office'].flatMap((name) => [
      good('key', `${name} takes this host's key`, name),
      good('rendezvous', `${name} answers within ${name === 'office' ? 468 : 312} ms`, name),
      good('port', name === 'office' ? 'port 5432 of office is open' : `ports 22, 8123 of ${name} are open`, name),
    ]),
  ];
  let after = false;
  return all.flatMap((layer) => {
    const changed = { ...layer, ...over[layer.layer], ...over[`${layer.layer} ${layer.remote ?? ''}`] };
    if (changed.ok === false) after = after || layer.layer === from;
    else if (after) return layer.remote === 'office' ? [] : { ...changed, ok: null, sentence: 'not tried, since tor is not connected yet' };
    return changed;
  });
};

/** What listens on somebody's computer. */
const listening: Served[] = [
  { port: 22, target: '127.0.0.1:22' },
  { port: 53, target: '127.0.0.53:53' },
  { port: 631, target: '127.0.0.1:631', program: 'cupsd' },
  { port: 3000, target: 'localhost:3000', program: 'node' },
  { port: 6463, target: '127.0.0.1:6463', program: 'a-program-of-a-name-that-goes-on-and-on' },
  { port: 8000, target: '127.0.0.1:8000', program: 'python3' },
  { port: 45_871, target: '127.0.0.1:45871' },
];

/** What may have happened in a day. */
function night(): Event[] {
  const why = 'no relay of the Tor network answers';
  const lost = 'its service is not published: the host may be offline, or have ended your access';
  const at = (before: number, what: Event['what']): Event => ({ at: NOW - before, what });
  return [
    at(40_000, { is: 'online', again: false, after: 4 }),
    at(39_990, { is: 'found', remote: 'home-server', after: null }),
    at(39_980, { is: 'found', remote: 'office', after: null }),
    at(30_000, { is: 'lost', remote: 'office', why: lost }),
    at(29_100, { is: 'found', remote: 'office', after: 900 }),
    at(12_000, { is: 'offline', why }),
    at(11_959, { is: 'online', again: true, after: 41 }),
    at(11_957, { is: 'found', remote: 'home-server', after: 43 }),
    at(11_955, { is: 'found', remote: 'office', after: 45 }),
    at(9_000, { is: 'connected', client: 'anna-laptop' }),
    at(8_000, { is: 'began', what: 'port 20001 is in use by python3 (pid 3142)' }),
    at(7_200, { is: 'ended', what: 'port 20001 is in use by python3 (pid 3142)' }),
    at(3_600, { is: 'lost', remote: 'office', why: lost }),
    at(50, { is: 'found', remote: 'office', after: 3_550 }),
  ];
}

export interface Shown {
  name: string;
  given: Given;
  page?: Page;
  ask?: Ask;
  /** Names of buttons to press, one after the other, to come to the state. */
  press?: string[];
  /** Traffic goes on while it is shown. */
  moving?: boolean;
}

const confirmed = (asked: ReturnType<typeof asking.revoke>): Ask => ({ kind: 'confirm', confirm: { ...asked, run: async () => {} } });
const client = full.clients[0]!;
const remote = full.remotes[1]!;
const invite = { text: INVITE_TEXT, qr_svg: qr(), notes: [], secret: true };

export const states: Shown[] = [
  { name: 'welcome', given: { view: running(empty), served: listening } },
  { name: 'picture-with-invite', given: { view: running(empty), code: INVITE_TEXT.toUpperCase() } },
  { name: 'welcome-nothing-listens', given: { view: running(empty) } },
  { name: 'mesh', given: { view: running(full) }, moving: true },
  { name: 'tour-host', given: { view: running(calm) }, press: ['summary:anna-laptop'] },
  { name: 'tour-remotes', given: { view: running({ ...calm, requests: [] }) }, press: ['summary:127.0.0.1:10022'] },
  { name: 'tour-invite', given: { view: running(calm) }, ask: { kind: 'invite', name: 'my-MacBook', invite, secret: true }, press: ['Copy'] },
  { name: 'mesh-open', given: { view: running(full) }, press: ['summary', 'Ping home-server'], moving: true },
  { name: 'mesh-import-open', given: { view: running(full) }, press: ['summary:127.0.0.1:8123', 'summary:127.0.0.1:10022', 'summary:0.0.0.0:25'], moving: true },
  { name: 'many', given: { view: running(many()) } },
  { name: 'many-searched', given: { view: running(many()) }, press: ['search:Search this host=connected', 'search:Search remotes=web garage'] },
  { name: 'many-nothing', given: { view: running(many()) }, press: ['search:Search this host=zebra', 'search:Search remotes=zebra'] },
  { name: 'many-problems', given: { view: running({ ...full, problems: failing(9) }) } },
  { name: 'long', given: { view: running(long) }, press: ['summary', `summary:${'Address and key'}`] },
  { name: 'exports-only', given: { view: running({ ...empty, exports: full.exports.slice(0, 1) }) } },
  { name: 'remotes-only', given: { view: running({ ...empty, remotes: full.remotes }) } },
  { name: 'request-only', given: { view: running({ ...empty, requests: ['studio'] }) } },
  { name: 'starting', given: { view: { agent: 'starting', status: null, problem: null, silent: null, ours: false } } },
  { name: 'first-connecting', given: { view: running({ ...empty, agent: full.agent && { ...full.agent, state: { is: 'connecting', percent: 14, doing: 'handshaking with a relay' } } }) } },
  {
    name: 'no-tor',
    given: {
      view: unconnected({ is: 'offline', why: 'there is no tor in PATH, nor beside ormesh' }, [
        problemOf('tor-failed', 'there is no tor in PATH, nor beside ormesh', 'install tor 0.4.9.11 or newer, or give its path in the settings', { kind: 'tor', subject: { is: 'tor' } }),
      ]),
    },
  },
  { name: 'agent-starting', given: { view: unconnected({ is: 'starting' }) } },
  { name: 'connecting', given: { view: unconnected({ is: 'connecting', percent: 45, doing: 'loading relay descriptors' }) } },
  {
    name: 'offline',
    given: {
      view: unconnected({ is: 'offline', why: 'tor cannot reach the network' }, [
        problemOf('tor-stuck', 'no relay can be reached', 'check that this computer is online; where Tor is blocked, it needs a bridge', { kind: 'tor', subject: { is: 'tor' } }),
      ]),
    },
  },
  {
    name: 'unconfirmed',
    given: {
      view: running({
        ...full,
        agent: full.agent && { ...full.agent, unconfirmed: 40 },
        remotes: full.remotes.map((one) => (one.state?.is === 'reachable' ? { ...one, unconfirmed: 95 } : one)),
      }),
    },
  },
  { name: 'paused', given: { view: unconnected({ is: 'paused' }) } },
  { name: 'locked', given: { view: running({ ...full, problems: [locked] }) } },
  { name: 'severities', given: { view: running({ ...full, problems: [locked, crowded, curious] }) } },
  { name: 'client-full', given: { view: running({ ...full, clients: full.clients.map((one) => (one.name === 'anna-laptop' ? { ...one, full: [80] } : one)), problems: [crowded] }) } },
  {
    name: 'invite-unused',
    given: {
      view: running({
        ...calm,
        clients: [
          { ...full.clients[2]!, state: { is: 'reachable' } },
          { ...full.clients[2]!, name: 'tablet', state: { is: 'invited' } },
        ],
      }),
    },
  },
  {
    name: 'dead-bridge',
    given: {
      view: {
        ...unconnected({ is: 'offline', why: 'the bridge does not answer: it may be gone, or this host is offline' }, [
          problemOf('tor-stuck', 'the bridge does not answer: it may be gone, or this host is offline', 'ormesh doctor says where the way ends', { kind: 'tor', subject: { is: 'tor' } }),
        ], 1),
      },
      settings: { bridges: ['obfs4 192.0.2.7:443 0123456789ABCDEF0123456789ABCDEF01234567 cert=AbC iat-mode=0'] },
    },
  },
  { name: 'closing', given: { view: running(full), settings: { tray: false } }, ask: { kind: 'closing' } },
  { name: 'settings-no-tray', given: { view: running(full), settings: { tray: false } }, page: 'settings' },
  { name: 'agent-silent', given: { view: { ...running(full), silent: NOW - 75 } } },
  { name: 'config-broken', given: { view: running({ ...full, problems: [broken] }) } },
  { name: 'config-lost', given: { view: running({ ...full, problems: [lost] }) } },
  { name: 'config-lost-accept', given: { view: running({ ...full, problems: [lost] }) }, press: ['Accept the loss'] },
  {
    name: 'agent-died',
    given: {
      view: {
        agent: 'none',
        status: { ...full, agent: null, clients: full.clients.map((one) => ({ ...one, state: null, sessions: 0 })), remotes: full.remotes.map((one) => ({ ...one, state: null, imports: one.imports.map((i) => ({ ...i, state: null })) })) },
        silent: null, ours: false,
        problem: problemOf('agent-failed', 'the agent ended unexpectedly', 'what it last said is in its log', { kind: 'not-ready' }),
      },
    },
  },
  { name: 'no-config', given: { view: { agent: 'none', status: null, problem: broken, silent: null, ours: false }, refuse: { settings: broken } } },
  { name: 'other-version', given: { view: { agent: 'other-version', status: null, problem: null, silent: null, ours: false } } },
  { name: 'add-export', given: { view: running(full), served: listening.slice(1) }, ask: { kind: 'export' } },
  { name: 'add-export-first', given: { view: running(empty), served: listening }, press: ['Share port 8000 python3', 'type:Name of who may open it optional=anna laptop', 'They sent me a request'] },
  {
    name: 'add-export-first-locked',
    given: { view: running(empty), refuse: { clientAdd: locked } },
    ask: { kind: 'export' },
    press: ['type:Port=8080', 'type:Name of who may open it optional=anna'],
  },
  {
    name: 'one-offer',
    given: {
      view: running({ ...empty, remotes: [{ ...full.remotes[0]!, name: 'remote' }] }),
      pong: { address: onion('cabinxx'), connect: 812, round_trip: 344, ports: [{ port: 8123, open: true }] },
    },
  },
  { name: 'add-export-some', given: { view: running(full) }, ask: { kind: 'export' }, press: ['type:Port=8080', 'radio:only', 'box:tablet'] },
  { name: 'add-export-many', given: { view: running(many()) }, ask: { kind: 'export' }, press: ['radio:only'] },
  { name: 'export-access', given: { view: running(full) }, ask: { kind: 'whom', one: full.exports[3]! } },
  { name: 'export-change', given: { view: running(full) }, ask: { kind: 'export-change', one: full.exports[1]! }, press: ['type:Leads to=192.168.1.10:3000'] },
  { name: 'rename-client', given: { view: running(full) }, ask: { kind: 'rename', what: 'client', name: 'anna-laptop' }, press: ['type:Name=taken'] },
  { name: 'rename-remote', given: { view: running(full) }, ask: { kind: 'rename', what: 'remote', name: 'home-server' }, press: ['type:Name=house'] },
  { name: 'rename-request', given: { view: running(full) }, ask: { kind: 'rename', what: 'request', name: 'studio' }, press: ['type:Name=atelier'] },
  { name: 'import-change', given: { view: running(full) }, ask: { kind: 'import-change', remote: 'home-server', one: full.remotes[1]!.imports[0]! }, press: ['type:Address here=0.0.0.0:10022'] },
  {
    name: 'not-exported',
    given: {
      view: running({
        ...calm,
        requests: [],
        remotes: calm.remotes.map((one) => ({ ...one, offers: [8123], imports: one.imports.map((of, at) => (at === 0 ? of : { ...of, sessions: 0, state: { is: 'not-exported', by: one.name } })) })),
      }),
    },
  },
  { name: 'add-export-lan', given: { view: running(full) }, ask: { kind: 'export' }, press: ['radio:lan'] },
  {
    name: 'add-export-refused',
    given: { view: running(full), refuse: { edit: problemOf('already-there', 'port 22 is exported already', 'ormesh export delete 22, or choose another port', { kind: 'refused' }) } },
    ask: { kind: 'export' },
    press: ['type:Port=22', 'Share'],
  },
  { name: 'add-client-request', given: { view: running(full) }, ask: { kind: 'client' }, press: ['type:Their request=ormesh1abc'] },
  { name: 'add-client-invite', given: { view: running(full) }, ask: { kind: 'client' }, press: ['radio:invite', 'type:Name=anna laptop', 'radio:only'] },
  { name: 'access', given: { view: running(full) }, ask: { kind: 'access', client } },
  { name: 'invite-secret', given: { view: running(full) }, ask: { kind: 'invite', name: 'my-MacBook', invite, secret: true }, press: ['Copy'] },
  { name: 'invite-public', given: { view: running(full) }, ask: { kind: 'invite', name: 'my-MacBook', invite, secret: false } },
  { name: 'invite-used', given: { view: running(full) }, ask: { kind: 'invite', name: 'anna-laptop', invite, secret: true } },
  { name: 'add-remote', given: { view: running(full) }, ask: { kind: 'remote' } },
  { name: 'add-remote-invite', given: { view: running(full) }, ask: { kind: 'remote' }, press: ['radio:invite', 'type:Name=home', 'type:Invite=ormesh1qyqgs3cqk9yr8z'] },
  { name: 'remote-asked', given: { view: running(full) }, ask: { kind: 'remote', answer: 'studio' }, press: [`type:Invite=${INVITE_TEXT}`] },
  { name: 'remote-replace', given: { view: running(full) }, ask: { kind: 'remote', replace: 'office' } },
  { name: 'add-import', given: { view: running(full) }, ask: { kind: 'import', remote: 'home-server' }, press: ['22 SSH'] },
  {
    name: 'add-import-public',
    given: { view: running(full), refuse: { ping: problemOf('tor-not-connected', 'the agent is not online yet', '', { kind: 'not-ready' }) } },
    ask: { kind: 'import', remote: 'office' },
    press: ['type:Port of office=25', 'type:Address here=0.0.0.0:25'],
  },
  { name: 'add-import-mine', given: { view: running(full) }, ask: { kind: 'import', remote: 'home-server' }, press: ['22 SSH', 'box:Only for me', 'type:Address here=0.0.0.0:10022'] },
  { name: 'add-import-used', given: { view: running(full) }, ask: { kind: 'import', remote: 'office' }, press: ['type:Port of office=80', 'type:Address here=127.0.0.1:3128'] },
  { name: 'confirm-revoke', given: { view: running(full) }, ask: confirmed(asking.revoke(full.clients[1]!, { ...full, exports: full.exports.map((one) => (one.clients ? { ...one, clients: ['build-server'] } : one)) })) },
  { name: 'confirm-rotate', given: { view: running(full) }, ask: confirmed(asking.rotate(client)) },
  { name: 'confirm-export', given: { view: running(full) }, ask: confirmed(asking.removeExport(full.exports[1]!, full)) },
  { name: 'confirm-remote', given: { view: running(full) }, ask: confirmed(asking.deleteRemote(remote)) },
  { name: 'confirm-import', given: { view: running(full) }, ask: confirmed(asking.deleteImport(remote, remote.imports[0]!)) },
  { name: 'confirm-giveup', given: { view: running(full) }, ask: confirmed(asking.giveUp('studio')) },
  { name: 'confirm-migrate', given: { view: running(full) }, ask: confirmed(asking.migrate('file')) },
  { name: 'confirm-quit', given: { view: running(full) }, ask: confirmed(asking.quit(running(full))) },
  { name: 'settings', given: { view: running(full) }, page: 'settings' },
  { name: 'settings-locked', given: { view: running({ ...full, problems: [locked] }), secrets: { usable: false, problem: locked, found: 0 } }, page: 'settings' },
  { name: 'settings-moved', given: { view: running(full), secrets: { store: 'file', also_in: 'os-keyring', in_doubt: 2, place: '/home/anna/.local/state/ormesh/secrets' } }, page: 'settings' },
  { name: 'confirm-forget', given: { view: running(full) }, ask: confirmed(asking.forget('os-keyring')) },
  {
    name: 'settings-full-disk',
    given: { view: running({ ...full, problems: [noRoom] }), secrets: { store: 'file', usable: false, problem: noRoom, place: '/home/anna/.local/state/ormesh/secrets' } },
    page: 'settings',
  },
  { name: 'settings-bridges', given: { view: running(full) }, page: 'settings', press: ['type:Bridges optional=obfs4 192.0.2.7:443 0123456789ABCDEF0123456789ABCDEF01234567 cert=AbC iat-mode=0\n198.51.100.4:9001 89ABCDEF0123456789ABCDEF0123456789ABCDEF'] },
  { name: 'settings-bridges-bad', given: { view: running(full) }, page: 'settings', press: ['type:Bridges optional=obfs4 192.0.2.7 0123', 'type:Path of another tor optional=/opt/tor/bin/tor'] },
  {
    name: 'settings-open',
    given: {
      view: running({
        ...full,
        agent: full.agent && {
          ...full.agent,
          socks: '0.0.0.0:9250',
          socks_users: 'all',
          socks_note: 'everyone who can reach this machine can connect to the SOCKS address 0.0.0.0:9250, and so to every port of every remote',
        },
      }),
      settings: { socks_addr: '0.0.0.0:9250', socks_users: 'all' },
    },
    page: 'settings',
    press: ['type:Address=192.168.1.2:9250'],
  },
  { name: 'settings-none', given: { view: running(empty), settings: { socks_addr: 'off', secrets: null, start_at_login: false }, secrets: { store: null, needed: 0, found: 0 } }, page: 'settings' },
  { name: 'doctor-before', given: { view: running(full), layers: layers() }, page: 'diagnostics' },
  { name: 'events', given: { view: running({ ...full, events: night() }) }, page: 'diagnostics' },
  { name: 'events-all', given: { view: running({ ...full, events: night() }) }, page: 'diagnostics', press: ['Show all 14 events'] },
  { name: 'doctor-running', given: { view: running(full), hang: ['diagnose'] }, page: 'diagnostics', press: ['Run'] },
  { name: 'doctor-good', given: { view: running(full), layers: layers() }, page: 'diagnostics', press: ['Run'] },
  {
    name: 'doctor-bad',
    given: {
      view: running(full),
      layers: layers({
        'key office': { ok: false, sentence: 'office: its descriptor can’t be read by our key: access was revoked there, or the invite was replaced', hint: 'ask its owner for a new invite, then: ormesh remote add office --replace' },
        'rendezvous office': { ok: null, sentence: 'office: not tried, since the key does not open its service' },
        'port office': { ok: null, sentence: 'office: not tried, since it was not reached' },
      }),
    },
    page: 'diagnostics',
    press: ['Run'],
  },
  {
    // What no report may hold.
    name: 'doctor-leaky',
    given: {
      view: running(full),
      layers: layers(
        {
          tor: { sentence: 'tor 0.4.9.11 at /home/anna/bin/tor, by obfs4 192.0.2.7:443 0123456789ABCDEF0123456789ABCDEF01234567 cert=AbCd iat-mode=0' },
          key: { ok: false, sentence: `${onion('officex')} refuses our key`, hint: `add the invite ${INVITE_TEXT} again` },
          'port office': { ok: null },
        },
      ),
    },
    page: 'diagnostics',
    press: ['Run'],
  },
  {
    name: 'doctor-network',
    given: {
      view: unconnected({ is: 'offline', why: 'tor cannot reach the network' }),
      layers: layers({ network: { ok: false, sentence: 'no relay can be reached from this network', hint: 'check that this computer is online; where Tor is blocked, it needs a bridge' } }, 'network'),
    },
    page: 'diagnostics',
    press: ['Run'],
  },
];
