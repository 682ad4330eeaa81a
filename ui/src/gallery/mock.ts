// A shell that is none: it answers from values, with the core's rules in miniature. For the gallery and its tests only.

import type { Backend } from '../lib/backend';
import type { ImportStatus, Layer, Pong, Problem, SecretsStatus, Served } from '../lib/bindings';
import type { AgentView, Checkable, Checked, Edited, Invite, Settings } from '../lib/bindings/shell';
import { problemOf } from '../lib/problems';

export interface Call {
  command: string;
  args: unknown[];
}

export interface Mock extends Backend {
  calls: Call[];
  push(view: AgentView): void;
  /** What it says now. */
  view(): AgentView;
  /** Wishes the window closed. */
  closing(): void;
}

export const INVITE_TEXT =
  'ormesh1qyqgs3cqk9yr8zu6m7k0l4p2f5w3x8v9d7nj6h4sgt0aejcm2lurcy5z8q7k3w9x0pvdfn6m4jh2stg8l7aeuc5r9yqz3xk8w0vpdf7nj6h4s2mtg5eacl9ry';
export const REQUEST_TEXT = 'ormeshreq1qypz9x8gf2tvdw0s3jn54khce6mua7lqpzry9x8gf2tvdw0s3jn54khce6mua7lqpzry9x8gf2t';

const bad = (message: string, hint = ''): never => {
  throw problemOf('bad-argument', message, hint, { kind: 'usage' });
};

/** As the core's parsers, roughly. */
export function check(what: Checkable, text: string, open = false): Checked {
  const ok = (detail: string | null = null, careful = false, instead: string | null = null): Checked => ({ ok: true, detail, careful, instead });
  switch (what) {
    case 'client-name':
    case 'remote-name':
      if (!/^[a-zA-Z]/.test(text)) bad(`a name starts with a letter, not with '${text[0]}'`);
      if (!/^[a-zA-Z0-9_-]+$/.test(text)) bad("a name holds letters, digits, '-' and '_' only");
      if (text === 'taken') bad(`there is a ${what.split('-')[0]} taken already`);
      return ok();
    case 'port':
      if (!/^\d+$/.test(text) || Number(text) < 1 || Number(text) > 65535) bad(`a port is a number from 1 to 65535, not "${text}"`);
      return ok();
    case 'target':
    case 'listen':
      if (text.startsWith('unix:/')) return ok();
      if (!/^(.+:)?\d{1,5}$/.test(text)) bad(`"${text}" is not [ADDRESS:]PORT or unix:PATH`);
      if (what === 'listen' && text.endsWith(':3128')) return ok(`${text} is in use by another program; the import waits until it is free`, true, '127.0.0.1:3129');
      return ok(text.includes(':') ? null : `127.0.0.1:${text}`);
    case 'socks':
      if (!/^(off|.+:\d{1,5})$/.test(text)) bad(`"${text}" is not an address and port`, 'give an address as in 127.0.0.1:9250, or off');
      if (text === '127.0.0.1:1080') return ok(`${text} is in use now; the agent takes it when it is free`, true, '127.0.0.1:1081');
      if (/^(off|127\.)/.test(text)) return ok();
      if (open) return ok(`everyone who can reach this machine can connect to the SOCKS address ${text}, and so to every port of every remote`, true);
      return ok(`connections to ${text} from other machines are refused, since it is for this user alone; \`ormesh config set agent.socks-users all\` lets them in`, true);
    case 'expiry':
      if (!/^(\d+[dw]|\d{4}-\d\d-\d\d)$/.test(text)) bad(`"${text}" is neither a time from now (as in 30d, 12w) nor a day (as in 2026-12-31)`);
      return ok('ends on 2026-12-31');
    case 'invite':
      if (!text.startsWith('ormesh1')) bad('this is not an invite', 'an invite starts with ormesh1');
      if (text.length < 119) bad(`the invite is mistyped or cut (${text.length} of 119 characters)`, 'copy it again, whole');
      return ok('for ports 22 and 8123, no expiry');
    case 'bridges': {
      const lines = text.split('\n').map((line) => line.trim()).filter(Boolean);
      lines.forEach((line, at) => {
        if (!/^(\w+ )?[\d.]+:\d+( [0-9A-F]{40})?/.test(line)) bad(`line ${at + 1} is not a bridge: no address and port`, 'as in obfs4 192.0.2.7:443 FINGERPRINT cert=… iat-mode=0');
      });
      return ok(`${lines.length} ${lines.length === 1 ? 'bridge' : 'bridges'}${text.includes('obfs4') ? ', by obfs4' : ''}`);
    }
    case 'request':
      if (!text.startsWith('ormeshreq1')) bad('this is not a join request', 'a request starts with ormeshreq1');
      return ok();
  }
}

/** Something that looks like a QR code, with its quiet zone. */
export function qr(): string {
  const size = 45;
  let seed = 7;
  let path = '';
  const finder = (x: number, y: number) => [[0, 0], [size - 7, 0], [0, size - 7]].some(([fx, fy]) => x >= fx! - 1 && x < fx! + 8 && y >= fy! - 1 && y < fy! + 8);
  for (let y = 0; y < size; y += 1)
    for (let x = 0; x < size; x += 1) {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      if (!finder(x, y) && seed > 1073741824) path += `M${x + 4} ${y + 4}h1v1h-1z`;
    }
  for (const [x, y] of [[0, 0], [size - 7, 0], [0, size - 7]] as const)
    path += `M${x + 4} ${y + 4}h7v7h-7zm1 1v5h5v-5zm1 1h3v3h-3z`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size + 8} ${size + 8}" shape-rendering="crispEdges"><rect width="100%" height="100%" fill="#fff"/><path fill-rule="evenodd" d="${path}"/></svg>`;
}

export interface Given {
  view: AgentView;
  settings?: Partial<Settings>;
  secrets?: Partial<SecretsStatus>;
  layers?: Layer[];
  pong?: Pong;
  /** What every picture holds as a QR code. */
  code?: string;
  /** What listens on this computer. */
  served?: Served[];
  /** Commands that are refused, by name. */
  refuse?: Partial<Record<keyof Backend, Problem>>;
  /** Commands that never end. */
  hang?: (keyof Backend)[];
}

export function mock(given: Given): Mock {
  let view = given.view;
  const watchers = new Set<(view: AgentView) => void>();
  const calls: Call[] = [];
  const closers = new Set<() => void>();
  const push = (next: AgentView) => {
    view = next;
    watchers.forEach((watcher) => watcher(next));
  };
  const command =
    <A extends unknown[], R>(name: keyof Backend, answer: (...args: A) => R) =>
    async (...args: A): Promise<R> => {
      calls.push({ command: name, args });
      if (given.hang?.includes(name)) await new Promise(() => {});
      const refused = given.refuse?.[name];
      if (refused) throw refused;
      return answer(...args);
    };
  const invite = (secret: boolean): Invite => ({ text: INVITE_TEXT, qr_svg: qr(), notes: [], secret });
  const change = (status: Partial<NonNullable<AgentView['status']>>) => view.status && push({ ...view, status: { ...view.status, ...status } });
  return {
    calls,
    push,
    view: () => view,
    state: command('state', () => view),
    onState: async (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    edit: command('edit', (edit): Edited => {
      const { status } = view;
      if (status && edit.edit === 'add-export') {
        const port = edit.port ?? Number(edit.target.split(':').at(-1));
        const target = /^\d+$/.test(edit.target) ? `127.0.0.1:${edit.target}` : edit.target;
        change({ exports: [...status.exports.filter((one) => one.port !== port), { target, port, ...(edit.clients && { clients: edit.clients }) }] });
      }
      if (status && edit.edit === 'set-export') {
        const { port, clients } = edit;
        change({ exports: status.exports.map((one) => (one.port === port ? { target: one.target, port, ...(clients && { clients }) } : one)) });
        const before = status.exports.find((one) => one.port === port)?.clients ?? null;
        return { notes: clients === null ? [] : [`${clients.join(' and ')} can now reach port ${port}`], undo: { edit: 'set-export', port, clients: before } };
      }
      if (status && edit.edit === 'delete-export') {
        const one = status.exports.find((one) => one.port === edit.port);
        change({ exports: status.exports.filter((one) => one.port !== edit.port) });
        if (one) return { notes: [], undo: { edit: 'add-export', target: one.target, port: one.port, allow_lan: true, ...(one.clients && { clients: one.clients }) } };
      }
      if (status && edit.edit === 'add-import') {
        const { remote, listen, remote_port } = edit;
        const one: ImportStatus = { listen, remote_port, users: edit.users ?? 'all', state: { is: 'listening' }, sessions: 0, bytes: [0, 0] };
        change({ remotes: status.remotes.map((each) => (each.name === remote ? { ...each, imports: [...each.imports.filter((other) => other.listen !== listen), one] } : each)) });
        return { notes: [], undo: { edit: 'delete-import', remote, listen } };
      }
      if (status && edit.edit === 'move-export') {
        const { port, to = port, target } = edit;
        const before = status.exports.find((one) => one.port === port);
        change({ exports: status.exports.map((one) => (one.port === port ? { ...one, port: to, target: target ?? one.target } : one)) });
        if (before) return { notes: [], undo: { edit: 'move-export', port: to, to: port, target: before.target, allow_lan: true } };
      }
      if (status && edit.edit === 'rename-client') {
        const { name, to } = edit;
        change({ clients: status.clients.map((one) => (one.name === name ? { ...one, name: to } : one)) });
        return { notes: [], undo: { edit: 'rename-client', name: to, to: name } };
      }
      if (status && edit.edit === 'rename-remote') {
        const { name, to } = edit;
        if (status.requests.includes(name)) {
          change({ requests: status.requests.map((one) => (one === name ? to : one)) });
          return { notes: [], undo: { edit: 'rename-remote', name: to, to: name } };
        }
        change({ remotes: status.remotes.map((one) => (one.name === name ? { ...one, name: to } : one)) });
        return { notes: [`ssh, browsers and the SOCKS address know it as ${to} now, and no longer as ${name}`], undo: { edit: 'rename-remote', name: to, to: name } };
      }
      if (status && edit.edit === 'set-import') {
        const { listen, to = listen, users } = edit;
        const moved = (one: ImportStatus): ImportStatus => (one.listen === listen ? { ...one, listen: to, ...(users && { users }) } : one);
        change({ remotes: status.remotes.map((one) => ({ ...one, imports: one.imports.map(moved) })) });
        return { notes: [], undo: { edit: 'set-import', listen: to, to: listen } };
      }
      if (status && edit.edit === 'delete-import')
        change({ remotes: status.remotes.map((one) => ({ ...one, imports: one.imports.filter((each) => each.listen !== edit.listen) })) });
      return { notes: [], undo: null };
    }),
    clientAdd: command('clientAdd', (client) => {
      if (view.status && !view.status.clients.some((one) => one.name === client.name))
        change({ clients: [...view.status.clients, { name: client.name, address: 'c'.repeat(56) + '.onion', ports: client.ports, may_reach: [], expires: null, state: { is: 'invited' }, sessions: 0, bytes: [0, 0], last_seen: null }] });
      return invite(client.request === null);
    }),
    clientToken: command('clientToken', () => invite(true)),
    clientRotate: command('clientRotate', () => invite(true)),
    clientDelete: command('clientDelete', (name) => {
      if (view.status) change({ clients: view.status.clients.filter((one) => one.name !== name) });
      return [];
    }),
    remoteAdd: command('remoteAdd', () => []),
    remoteRequest: command('remoteRequest', () => REQUEST_TEXT),
    remoteDelete: command('remoteDelete', (name) => {
      if (view.status) change({ remotes: view.status.remotes.filter((one) => one.name !== name), requests: view.status.requests.filter((one) => one !== name) });
      return [];
    }),
    readQr: command('readQr', () => given.code ?? null),
    check: async (what, text) => check(what, text, given.settings?.socks_users === 'all'),
    served: command('served', () => given.served ?? []),
    suggestListen: command('suggestListen', (port) => `127.0.0.1:${port < 1024 ? port + 10_000 : port}`),
    ping: command(
      'ping',
      () =>
        given.pong ?? {
          address: 'x'.repeat(56) + '.onion',
          connect: 812,
          round_trip: 344,
          ports: [
            { port: 22, open: true },
            { port: 8123, open: true },
            { port: 5432, open: false },
          ],
        },
    ),
    pause: command('pause', () => undefined),
    resume: command('resume', () => undefined),
    configRestore: command('configRestore', () => []),
    configAccept: command('configAccept', () => []),
    agentStart: command('agentStart', () => undefined),
    agentRestart: command('agentRestart', () => undefined),
    onClosing: async (callback) => {
      closers.add(callback);
      return () => closers.delete(callback);
    },
    closing: () => closers.forEach((callback) => callback()),
    closeWindow: command('closeWindow', () => undefined),
    setClosing: command('setClosing', () => undefined),
    setTold: command('setTold', () => undefined),
    setZoom: command('setZoom', (step) => (step === 0 ? 1 : step > 0 ? 1.1 : 0.9)),
    openLog: command('openLog', () => undefined),
    openConfig: command('openConfig', () => undefined),
    copySecret: command('copySecret', () => undefined),
    copy: command('copy', () => undefined),
    openImport: command('openImport', () => undefined),
    settings: command('settings', () => ({
      socks_addr: '127.0.0.1:9250',
      socks_users: 'me' as const,
      secrets: 'os-keyring' as const,
      tor_path: '',
      bridges: [],
      log: '/home/anna/.local/state/ormesh/agent.log',
      config: '/home/anna/.config/ormesh/config.toml',
      start_at_login: true,
      tray: true,
      closing: 'ask' as const,
      told: { clients: true, imports: true, problems: true },
      version: '0.1.0',
      ...given.settings,
    })),
    setSetting: command('setSetting', (key, value) =>
      key !== 'agent.socks-addr' || /^(off|127\.)/.test(value) ? [] : [`connections to ${value} from other machines are refused, since it is for this user alone`],
    ),
    setStartAtLogin: command('setStartAtLogin', () => undefined),
    secretsStatus: command('secretsStatus', () => ({
      store: 'os-keyring' as const,
      usable: true,
      needed: 7,
      found: 7,
      in_doubt: 0,
      place: 'entries ormesh/k7w2m4c6d5e3f2a7 of the login keyring',
      ...given.secrets,
    })),
    secretsUnlock: command('secretsUnlock', () => undefined),
    secretsMigrate: command('secretsMigrate', () => []),
    secretsForget: command('secretsForget', (store) => [`keys that are left in ${store} are not erased any more`]),
    diagnose: command('diagnose', () => given.layers ?? []),
    quit: command('quit', () => undefined),
  };
}
