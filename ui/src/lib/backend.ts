// The contract between the window and its Rust shell, and the one file that talks to Tauri.
//
// Every command resolves to its value or rejects with a `Problem`. Nothing here keeps state: the shell does, and the window only shows it.

import { invoke } from '@tauri-apps/api/core';
import { listen } from '@tauri-apps/api/event';

import type { Edit, Layer, Pong, Problem, SecretsStatus, Status, StoreKind, Users } from './bindings';
import { problemOf } from './problems';

/** What the shell knows of the agent; the event `state` carries the whole of it at each change. */
export interface AgentView {
  /** `none`: it ended or was never there · `starting`: the shell started it and waits · `other-version`: one runs that speaks another protocol. */
  agent: 'none' | 'starting' | 'running' | 'other-version';
  /** The last status known. With no agent it is that of the configuration alone, or null when that can't be read. */
  status: Status | null;
  /** Why there is no agent, or why it can't be spoken to. */
  problem: Problem | null;
  /** Whether quitting the app ends the agent, since the app started it. Absent: not known. */
  ours?: boolean;
}

/** An invite as it is shown. */
export interface Invite {
  /** `ormesh1…`. */
  text: string;
  /** A QR code of it: a whole SVG document, dark on light, with its quiet zone. */
  qr_svg: string;
  /** One sentence each: warnings and what follows. */
  notes: string[];
  /** Whether it carries a private key; not when it answers a request. Absent: treated as one that does. */
  secret?: boolean;
}

/** What can be checked while it is typed, by the core's own parsers; `client-name` and `remote-name` also refuse one that is in use. */
export type Checkable =
  | 'client-name'
  | 'remote-name'
  /** An export's target: `[ADDRESS:]PORT` or `unix:PATH`. */
  | 'target'
  | 'port'
  /** Where an import listens: `[ADDRESS:]PORT` or `unix:PATH`. */
  | 'listen'
  /** Where the agent's SOCKS server listens. */
  | 'socks'
  /** `30d`, `12w`, `2026-12-31`. */
  | 'expiry'
  /** Bridge lines, as people are given them. */
  | 'bridges'
  | 'invite'
  | 'request';

/** What a check that passed says, for the line below the field: `ends on 2026-12-22`, `for website, ports 22 and 80`. */
export interface Checked {
  ok: true;
  detail: string | null;
  /** Whether the detail is something to think about before going on: an address in use, or one that is open to others. Absent: it is not. */
  careful?: boolean;
}

/** The settings as they are; `set_setting` takes `config set`'s keys. */
export interface Settings {
  /** `127.0.0.1:9250`, or `off`. Key: `agent.socks-addr`. */
  socks_addr: string;
  /** Who may use it. Key: `agent.socks-users`. Absent: the agent's own user. */
  socks_users?: Users;
  /** The store in use; null before the first secret. Moved by `secrets_migrate`, never set. */
  secrets: StoreKind | null;
  /** Empty when tor is looked for. Key: `agent.tor-path`. */
  tor_path: string;
  /** One line each: `1.2.3.4:443 FINGERPRINT`, `obfs4 1.2.3.4:443 FINGERPRINT cert=… iat-mode=0`. Key: `agent.bridges`, lines joined. */
  bridges: string[];
  start_at_login: boolean;
  /** Of the app. */
  version: string;
  /** Where the agent that the app starts keeps its log. Absent: not known. */
  log?: string;
}

export type SettingKey = 'agent.socks-addr' | 'agent.socks-users' | 'agent.tor-path' | 'agent.bridges';

/** Everything that the window asks of its shell. */
export interface Backend {
  /** The present state. */
  state(): Promise<AgentView>;
  /** Calls back at each change of it; resolves to what ends that. */
  onState(callback: (view: AgentView) => void): Promise<() => void>;

  /** A change that touches no secret; resolves to notes, one sentence each. In `SetClient`, a field left out stays as it is and null clears it. */
  edit(edit: Edit): Promise<string[]>;
  /** Makes a client, or takes its public key from `request` (`ormeshreq1…`). `expires` is text as for the check `expiry`. */
  clientAdd(client: { name: string; ports: number[] | null; expires: string | null; request: string | null }): Promise<Invite>;
  /** The invite again, until the client has first connected. */
  clientToken(name: string): Promise<Invite>;
  /** New keys and a new address: the old invite and the old connection end. */
  clientRotate(name: string): Promise<Invite>;
  /** Revokes it: resolves once it is out. */
  clientDelete(name: string): Promise<string[]>;
  remoteAdd(remote: { name: string; invite: string; replace: boolean }): Promise<string[]>;
  /** A public join request, `ormeshreq1…`; the same again for the same name. */
  remoteRequest(name: string): Promise<string>;
  /** Removes a remote with its imports, or a request that waits. */
  remoteDelete(name: string): Promise<string[]>;

  check(what: Checkable, text: string): Promise<Checked>;
  ping(remote: string, port: number | null): Promise<Pong>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Writes the last good configuration back, where the file was lost. */
  configRestore(): Promise<string[]>;
  /** Confirms that what a lost file named is to go. */
  configAccept(): Promise<string[]>;
  /** Starts the agent; one of another version is stopped first. Resolves when it was started, not when it is online. */
  agentStart(): Promise<void>;
  /** To the clipboard, and out of it after 60 s if it is still there. */
  copySecret(text: string): Promise<void>;
  copy(text: string): Promise<void>;
  /** Opens an import in the browser. */
  openImport(listen: string): Promise<void>;

  settings(): Promise<Settings>;
  setSetting(key: SettingKey, value: string): Promise<void>;
  setStartAtLogin(on: boolean): Promise<void>;
  /** Asks the store anew, which may make the system show its prompt to unlock it; the agent then retries what waited for it. */
  secretsStatus(): Promise<SecretsStatus>;
  secretsMigrate(to: StoreKind): Promise<string[]>;
  diagnose(): Promise<Layer[]>;
  quit(): Promise<void>;
}

/** The shell, over Tauri's IPC. */
export const tauri: Backend = {
  state: () => call('state'),
  onState: (callback) => listen<AgentView>('state', (event) => callback(event.payload)),

  edit: (edit) => call('edit', { edit }),
  clientAdd: (client) => call('client_add', { ...client }),
  clientToken: (name) => call('client_token', { name }),
  clientRotate: (name) => call('client_rotate', { name }),
  clientDelete: (name) => call('client_delete', { name }),
  remoteAdd: (remote) => call('remote_add', { ...remote }),
  remoteRequest: (name) => call('remote_request', { name }),
  remoteDelete: (name) => call('remote_delete', { name }),

  check: (what, text) => call('check', { what, text }),
  ping: (remote, port) => call('ping', { remote, port }),
  pause: () => call('pause'),
  resume: () => call('resume'),
  configRestore: () => call('config_restore'),
  configAccept: () => call('config_accept'),
  agentStart: () => call('agent_start'),
  copySecret: (text) => call('copy_secret', { text }),
  copy: (text) => call('copy', { text }),
  openImport: (listen) => call('open_import', { listen }),

  settings: () => call('settings'),
  setSetting: (key, value) => call('set_setting', { key, value }),
  setStartAtLogin: (on) => call('set_start_at_login', { on }),
  secretsStatus: () => call('secrets_status'),
  secretsMigrate: (to) => call('secrets_migrate', { to }),
  diagnose: () => call('diagnose'),
  quit: () => call('quit'),
};

async function call<T>(command: string, args?: Record<string, unknown>): Promise<T> {
  try {
    return await invoke<T>(command, args);
  } catch (error) {
    throw asProblem(error);
  }
}

/** Any rejection as a problem: Tauri itself rejects with a text when an argument or a permission is wrong. */
export function asProblem(error: unknown): Problem {
  if (typeof error === 'object' && error !== null && 'message' in error) {
    const { code, message, hint, ...more } = error as Partial<Problem>;
    return problemOf(code ?? 'other', String(message), hint, more);
  }
  return problemOf('other', String(error));
}
