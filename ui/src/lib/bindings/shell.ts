// Generated from the shell's types. Don't edit: `ORMESH_BINDINGS=write cargo test --features desktop bindings`

import type { Edit, Problem, Status, StoreKind, Users } from './index';

export type AgentPresence = "none" | "starting" | "running" | "other-version";
export type AgentView = { 
/**
 * The agent's presence.
 */
agent: AgentPresence, 
/**
 * The last status known. Without an agent it is that of the configuration alone; none when that can't be read.
 */
status: Status | null, 
/**
 * Why there is no agent, or why it can't be spoken to.
 */
problem: Problem | null, 
/**
 * Since when a running agent has answered nothing, in seconds since 1970-01-01 UTC: what is known of it is as old.
 */
silent: number | null, 
/**
 * Whether quitting ends the agent, since the app started it.
 */
ours: boolean, };
export type Edited = { 
/**
 * What follows from it, one sentence each.
 */
notes: Array<string>, 
/**
 * The change that takes it back; none where that can't be done.
 */
undo: Edit | null, };
export type Invite = { 
/**
 * `ormesh1…`.
 */
text: string, 
/**
 * A QR code of it: a whole SVG document, dark on light, with its quiet zone.
 */
qr_svg: string, 
/**
 * One sentence each: warnings and what follows.
 */
notes: Array<string>, 
/**
 * Whether it carries a private key.
 */
secret: boolean, };
export type Checkable = "client-name" | "remote-name" | "target" | "port" | "listen" | "socks" | "expiry" | "invite" | "request" | "bridges";
export type Checked = { ok: true, 
/**
 * What the line below the field says: `ends on 2026-12-22`, `for website, ports 22 and 80`.
 */
detail: string | null, 
/**
 * Whether the detail is something to think about first.
 */
careful: boolean, 
/**
 * What would do as well, where there is reason not to take it.
 */
instead: string | null, };
export type Closing = "ask" | "stay" | "quit";
export type Told = { 
/**
 * A client that connects for the first time.
 */
clients: boolean, 
/**
 * Imports that are lost for a minute, and that are back.
 */
imports: boolean, 
/**
 * A problem that needs a person.
 */
problems: boolean, };
export type Settings = { 
/**
 * `127.0.0.1:9250`, or `off`.
 */
socks_addr: string, 
/**
 * Who may use it.
 */
socks_users: Users, 
/**
 * The store in use; none before the first secret. It is moved, never set.
 */
secrets: StoreKind | null, 
/**
 * Empty where tor is looked for.
 */
tor_path: string, 
/**
 * One line each, as they are set.
 */
bridges: Array<string>, start_at_login: boolean, 
/**
 * Where the agent that the app started writes its log; empty where there is none.
 */
log: string, 
/**
 * The configuration file.
 */
config: string, 
/**
 * Whether there is a tray to come back from.
 */
tray: boolean, 
/**
 * What closing the window does where there is none.
 */
closing: Closing, 
/**
 * Of what the system's notifications tell.
 */
told: Told, 
/**
 * Of the app.
 */
version: string, };
