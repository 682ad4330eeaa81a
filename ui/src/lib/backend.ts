// The contract between the window and its Rust shell, and the one file that talks to Tauri.
//
// Every command resolves to its value or rejects with a `Problem`. Nothing here keeps state: the shell does, and the window only shows it.

import { invoke } from '@tauri-apps/api/core';
import { listen } from '@tauri-apps/api/event';

import type { Edit, Layer, Pong, Problem, SecretsStatus, Served, StoreKind } from './bindings';
import type { AgentView, Checkable, Checked, Closing, Edited, Invite, Settings, Told } from './bindings/shell';
import type { Luma } from './picture';
import { problemOf } from './problems';

export type SettingKey = 'agent.socks-addr' | 'agent.socks-users' | 'agent.tor-path' | 'agent.bridges';

/** Everything that the window asks of its shell. */
export interface Backend {
  /** The present state. */
  state(): Promise<AgentView>;
  /** Calls back at each change of it; resolves to what ends that. */
  onState(callback: (view: AgentView) => void): Promise<() => void>;

  /** A change that touches no secret; resolves to what follows from it, and to what takes it back. In `SetClient`, a field left out stays as it is and null clears it. */
  edit(edit: Edit): Promise<Edited>;
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

  /** The text of a QR code in a picture; null where there is none. */
  readQr(picture: Luma): Promise<string | null>;
  check(what: Checkable, text: string): Promise<Checked>;
  /** What listens on this computer and is not exported yet. */
  served(): Promise<Served[]>;
  /** An address for an import of this port, which nobody has at present. */
  suggestListen(port: number): Promise<string>;
  ping(remote: string, port: number | null): Promise<Pong>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Writes the last good configuration back, where the file was lost. */
  configRestore(): Promise<string[]>;
  /** Confirms that what a lost file named is to go. */
  configAccept(): Promise<string[]>;
  /** Starts the agent; one of another version is stopped first. Resolves when it was started, not when it is online. */
  agentStart(): Promise<void>;
  /** Ends the agent that runs, also one that answers nothing, and starts another. */
  agentRestart(): Promise<void>;
  /** To the clipboard, and out of it after 60 s if it is still there. */
  copySecret(text: string): Promise<void>;
  copy(text: string): Promise<void>;
  /** Opens an import in the browser. */
  openImport(listen: string): Promise<void>;

  /** Calls back when the window is to be closed and nothing would be left to see; resolves to what ends that. */
  onClosing(callback: () => void): Promise<() => void>;
  /** Answers that; `ask`: it stays open. */
  closeWindow(how: Closing, always: boolean): Promise<void>;
  setClosing(how: Closing): Promise<void>;
  /** What the system's notifications tell from now on. */
  setTold(told: Told): Promise<void>;
  /** The next larger or smaller size of the window, by the sign, or the system's own by 0; kept. Resolves to the size: 1 is the system's. */
  setZoom(step: -1 | 0 | 1): Promise<number>;
  /** Opens the agent's log in the program that shows texts. */
  openLog(): Promise<void>;
  /** The same of the configuration. */
  openConfig(): Promise<void>;

  settings(): Promise<Settings>;
  /** Resolves to what follows from it, one sentence each. */
  setSetting(key: SettingKey, value: string): Promise<string[]>;
  setStartAtLogin(on: boolean): Promise<void>;
  /** Asks the store anew, which may make the system show its prompt to unlock it; the agent then retries what waited for it. */
  secretsStatus(): Promise<SecretsStatus>;
  /** Has the keyring ask for its password: in its own window, and once. */
  secretsUnlock(): Promise<void>;
  secretsMigrate(to: StoreKind): Promise<string[]>;
  /** Gives up a store that is gone for good: what was to be erased in it is left there. */
  secretsForget(store: StoreKind): Promise<string[]>;
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

  readQr: (picture) => call('read_qr', { ...picture }),
  check: (what, text) => call('check', { what, text }),
  served: () => call('served'),
  suggestListen: (port) => call('suggest_listen', { port }),
  ping: (remote, port) => call('ping', { remote, port }),
  pause: () => call('pause'),
  resume: () => call('resume'),
  configRestore: () => call('config_restore'),
  configAccept: () => call('config_accept'),
  agentStart: () => call('agent_start'),
  agentRestart: () => call('agent_restart'),
  copySecret: (text) => call('copy_secret', { text }),
  copy: (text) => call('copy', { text }),
  openImport: (listen) => call('open_import', { listen }),
  onClosing: (callback) => listen('closing', () => callback()),
  closeWindow: (how, always) => call('close_window', { how, always }),
  setClosing: (how) => call('set_closing', { how }),
  setTold: (told) => call('set_told', { told }),
  setZoom: (step) => call('set_zoom', { step }),
  openLog: () => call('open_log'),
  openConfig: () => call('open_config'),

  settings: () => call('settings'),
  setSetting: (key, value) => call('set_setting', { key, value }),
  setStartAtLogin: (on) => call('set_start_at_login', { on }),
  secretsStatus: () => call('secrets_status'),
  secretsUnlock: () => call('secrets_unlock'),
  secretsMigrate: (to) => call('secrets_migrate', { to }),
  secretsForget: (store) => call('secrets_forget', { store }),
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
