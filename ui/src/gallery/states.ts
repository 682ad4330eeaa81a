// Every state of the window, with what the shell would have said.

import type { Ask } from '../lib/asks';
import type { AgentView, Layer } from '../lib/backend';
import type { AgentState, Problem, Status } from '../lib/bindings';
import * as asking from '../lib/confirmations';
import type { Page } from '../lib/views/Header.svelte';
import { INVITE_TEXT, qr, type Given } from './mock';

/** The moment at which the gallery stands: 2026-11-22 12:00 UTC. */
export const NOW = 1_795_348_800;

const onion = (start: string) => (start + 'qk3v7wz2m6c5d4e3f2a7b6c5d4e3f2a7b6c5d4e3f2a7b6c5d4e3f2ad').slice(0, 56) + '.onion';

const full: Status = {
  version: 1,
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
    { target: 'unix:/run/postgresql/.s.PGSQL.5432', port: 5432 },
  ],
  clients: [
    { name: 'anna-laptop', address: onion('annalap'), ports: [80], expires: '2026-12-31', state: { is: 'connected' }, sessions: 2, bytes: [1_234_567, 48_300_120], last_seen: NOW - 4 },
    { name: 'build-server', address: onion('buildsv'), ports: null, expires: null, state: { is: 'reachable' }, sessions: 0, bytes: [88_000, 61_000], last_seen: NOW - 10_900 },
    { name: 'my-MacBook', address: onion('mymacbo'), ports: null, expires: null, state: { is: 'invited' }, sessions: 0, bytes: [0, 0], last_seen: null },
    { name: 'old-phone', address: onion('oldphon'), ports: [22, 80], expires: '2026-11-01', state: { is: 'expired' }, sessions: 0, bytes: [0, 0], last_seen: NOW - 2_500_000 },
    { name: 'tablet', address: onion('tabletx'), ports: null, expires: null, state: { is: 'publishing' }, sessions: 0, bytes: [0, 0], last_seen: NOW - 90_000 },
    { name: 'workshop', address: onion('worksho'), ports: null, expires: null, state: { is: 'failing', why: 'its key is not in the secret store' }, sessions: 0, bytes: [0, 0], last_seen: null },
  ],
  remotes: [
    {
      name: 'home-server',
      address: onion('homesrv'),
      expires: null,
      state: { is: 'reachable', round_trip: 312 },
      imports: [
        { listen: '127.0.0.1:10022', remote_port: 22, state: { is: 'listening' }, sessions: 1, bytes: [22_000, 1_900_000] },
        { listen: '127.0.0.1:8123', remote_port: 8123, state: { is: 'listening' }, sessions: 0, bytes: [450_000, 9_700_000] },
        { listen: '0.0.0.0:25', remote_port: 25, state: { is: 'blocked', why: 'port 25 is in use by exim4 (pid 812)' }, sessions: 0, bytes: [0, 0] },
      ],
    },
    {
      name: 'office',
      address: onion('officex'),
      expires: '2026-12-31',
      state: { is: 'unreachable', why: 'its service is not published: the computer is off or not online' },
      imports: [{ listen: '127.0.0.1:15432', remote_port: 5432, state: { is: 'degraded' }, sessions: 0, bytes: [0, 0] }],
    },
    { name: 'cabin', address: onion('cabinxx'), expires: null, state: { is: 'unknown' }, imports: [] },
  ],
  requests: ['studio'],
  problems: [],
};

const empty: Status = { ...full, exports: [], clients: [], remotes: [], requests: [] };

const running = (status: Status, problem: Problem | null = null): AgentView => ({ agent: 'running', status, problem, ours: true });
const agentIs = (state: AgentState, status = full): AgentView => running({ ...status, agent: status.agent && { ...status.agent, state } });

const locked: Problem = {
  kind: 'secrets',
  subject: 'secret store',
  message: 'the keyring is locked: 7 services and remotes wait for their keys',
  hint: 'unlock the login keyring',
};

const layers = (over: Record<string, Partial<Layer>> = {}, from: string | null = null): Layer[] => {
  const all: Layer[] = [
    { layer: 'tor', ok: true, sentence: 'tor 0.4.9.11 at /usr/bin/tor', hint: null },
    { layer: 'clock', ok: true, sentence: 'the clock agrees with the Tor network within a second', hint: null },
    { layer: 'network', ok: true, sentence: 'this computer reaches the internet', hint: null },
    { layer: 'bootstrap', ok: true, sentence: 'tor is connected: 100 %', hint: null },
    { layer: 'descriptor', ok: true, sentence: '5 of 5 services are published', hint: null },
    { layer: 'introduction', ok: true, sentence: 'each service has its introduction points', hint: null },
    { layer: 'rendezvous', ok: true, sentence: 'home-server was met in 812 ms', hint: null },
    { layer: 'key', ok: true, sentence: 'home-server accepts our key', hint: null },
    { layer: 'port', ok: true, sentence: 'ports 22 and 8123 of home-server accept connections', hint: null },
  ];
  let after = false;
  return all.map((layer) => {
    const changed = { ...layer, ...over[layer.layer] };
    if (after && !over[layer.layer]) return { ...changed, ok: null, sentence: 'not tried, since an earlier layer fails' };
    if (layer.layer === from) after = true;
    return changed;
  });
};

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
const remote = full.remotes[0]!;
const invite = { text: INVITE_TEXT, qr_svg: qr(), notes: [] };

export const states: Shown[] = [
  { name: 'welcome', given: { view: running(empty) } },
  { name: 'mesh', given: { view: running(full) }, moving: true },
  { name: 'mesh-open', given: { view: running(full) }, press: ['summary', 'Ping home-server'], moving: true },
  { name: 'exports-only', given: { view: running({ ...empty, exports: full.exports.slice(0, 1) }) } },
  { name: 'remotes-only', given: { view: running({ ...empty, remotes: full.remotes }) } },
  { name: 'request-only', given: { view: running({ ...empty, requests: ['studio'] }) } },
  { name: 'starting', given: { view: { agent: 'starting', status: null, problem: null } } },
  { name: 'connecting', given: { view: agentIs({ is: 'connecting', percent: 45, doing: 'loading relay descriptors' }) } },
  {
    name: 'offline',
    given: {
      view: running({
        ...full,
        agent: full.agent && { ...full.agent, state: { is: 'offline', why: 'tor cannot reach the network' } },
        problems: [{ kind: 'tor', subject: 'tor', message: 'no relay can be reached', hint: 'check that this computer is online; some networks block Tor' }],
      }),
    },
  },
  { name: 'paused', given: { view: agentIs({ is: 'paused' }) } },
  { name: 'locked', given: { view: running({ ...full, problems: [locked] }) } },
  {
    name: 'agent-died',
    given: {
      view: {
        agent: 'none',
        status: { ...full, agent: null, clients: full.clients.map((one) => ({ ...one, state: null, sessions: 0 })), remotes: full.remotes.map((one) => ({ ...one, state: null, imports: one.imports.map((i) => ({ ...i, state: null })) })) },
        problem: { kind: 'not-ready', subject: '', message: 'the agent ended unexpectedly', hint: 'what it last said is in its log' },
      },
    },
  },
  { name: 'no-config', given: { view: { agent: 'none', status: null, problem: { kind: 'usage', subject: 'config', message: 'line 12, column 3: unknown key "exprots"', hint: 'mend the file, or ask: ormesh config check' } } } },
  { name: 'other-version', given: { view: { agent: 'other-version', status: null, problem: null } } },
  { name: 'add-export', given: { view: running(full) }, ask: { kind: 'export' } },
  { name: 'add-export-lan', given: { view: running(full) }, ask: { kind: 'export' }, press: ['radio:lan'] },
  {
    name: 'add-export-refused',
    given: { view: running(full), refuse: { edit: { kind: 'refused', subject: '', message: 'port 22 is exported already', hint: 'ormesh export delete 22, or choose another port' } } },
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
    given: { view: running(full), refuse: { ping: { kind: 'not-ready', subject: '', message: 'the agent is not online yet', hint: '' } } },
    ask: { kind: 'import', remote: 'office' },
    press: ['type:Port of office=25', 'type:Address here=0.0.0.0:25'],
  },
  { name: 'confirm-revoke', given: { view: running(full) }, ask: confirmed(asking.revoke(client)) },
  { name: 'confirm-rotate', given: { view: running(full) }, ask: confirmed(asking.rotate(client)) },
  { name: 'confirm-export', given: { view: running(full) }, ask: confirmed(asking.removeExport(full.exports[1]!, full)) },
  { name: 'confirm-remote', given: { view: running(full) }, ask: confirmed(asking.deleteRemote(remote)) },
  { name: 'confirm-import', given: { view: running(full) }, ask: confirmed(asking.deleteImport(remote, remote.imports[0]!)) },
  { name: 'confirm-giveup', given: { view: running(full) }, ask: confirmed(asking.giveUp('studio')) },
  { name: 'confirm-migrate', given: { view: running(full) }, ask: confirmed(asking.migrate('file')) },
  { name: 'confirm-quit', given: { view: running(full) }, ask: confirmed(asking.quit(running(full))) },
  { name: 'settings', given: { view: running(full) }, page: 'settings' },
  { name: 'settings-locked', given: { view: running({ ...full, problems: [locked] }), secrets: { usable: { Err: locked }, found: 0 } }, page: 'settings' },
  { name: 'settings-none', given: { view: running(empty), settings: { socks_addr: 'off', secrets: null, start_at_login: false }, secrets: { store: null, needed: 0, found: 0 } }, page: 'settings' },
  { name: 'doctor-before', given: { view: running(full), layers: layers() }, page: 'diagnostics' },
  { name: 'doctor-running', given: { view: running(full), hang: ['diagnose'] }, page: 'diagnostics', press: ['Run'] },
  { name: 'doctor-good', given: { view: running(full), layers: layers() }, page: 'diagnostics', press: ['Run'] },
  {
    name: 'doctor-bad',
    given: {
      view: running(full),
      layers: layers({ key: { ok: false, sentence: 'office refuses our key: access was revoked there, or the invite was replaced', hint: 'ask its owner for a new invite' } }, 'key'),
    },
    page: 'diagnostics',
    press: ['Run'],
  },
  {
    name: 'doctor-network',
    given: {
      view: agentIs({ is: 'offline', why: 'tor cannot reach the network' }),
      layers: layers({ network: { ok: false, sentence: 'no relay can be reached from this network', hint: 'check that this computer is online; some networks block Tor' } }, 'network'),
    },
    page: 'diagnostics',
    press: ['Run'],
  },
];
