// Generated from ormesh-core's types. Don't edit: `ORMESH_BINDINGS=write cargo test -p ormesh-core bindings`

export type Port = number;
export type Target = string;
export type ListenAddr = string;
export type Day = string;
export type OnionAddress = string;
export type ClientName = string;
export type RemoteName = string;
export type ProblemKind = "failed" | "usage" | "not-ready" | "refused" | "secrets" | "tor";
export type Severity = "error" | "warning" | "note";
export type Code = "bad-argument" | "bad-setting" | "bad-environment" | "bad-invite" | "invite-expired" | "no-request" | "not-there" | "already-there" | "ambiguous" | "address-taken" | "not-exported" | "not-on-this-host" | "reserved-port" | "too-many" | "not-allowed" | "socks-off" | "no-page" | "state-not-kept" | "client-expired" | "client-cut-off" | "client-still-listed" | "invite-gone" | "key-elsewhere" | "service-not-down" | "config-mistake" | "config-unreadable" | "config-lost" | "config-cut" | "given-lost" | "no-good-config" | "config-unwritable" | "config-busy" | "config-form" | "config-unwatched" | "unsafe-file" | "file-failed" | "no-home" | "busy" | "history-spoilt" | "no-agent" | "agent-unreachable" | "agent-starting" | "agent-paused" | "agent-ending" | "agent-ended" | "agent-silent" | "agent-impostor" | "other-version" | "agent-behind" | "unexpected-answer" | "agent-runs" | "agent-managed" | "agent-not-ending" | "agent-failed" | "app-silent" | "command-missing" | "not-ready" | "store-locked" | "store-absent" | "store-silent" | "store-unsafe" | "store-failed" | "store-unchosen" | "store-full" | "key-missing" | "key-damaged" | "keys-in-doubt" | "keys-not-moved" | "tor-missing" | "tor-passed-over" | "tor-failed" | "tor-stuck" | "clock-wrong" | "service-failed" | "service-open" | "withdrawal-failed" | "remote-key-failed" | "remote-key-kept" | "address-in-use" | "cannot-listen" | "gate-failed" | "user-refused" | "full" | "full-there" | "no-backend" | "no-backend-there" | "cut-off" | "remote-unreachable" | "remote-key-refused" | "remote-key-missing" | "port-not-granted" | "tor-not-connected" | "dial-failed" | "plain-tor" | "system-failed" | "output-failed" | "other";
export type Subject = { "is": "agent" } | { "is": "app" } | { "is": "tor" } | { "is": "configuration" } | { "is": "files" } | { "is": "history" } | { "is": "store" } | { "is": "socks" } | { "is": "export", "id": Port } | { "is": "client", "id": ClientName } | { "is": "service", "id": OnionAddress } | { "is": "remote", "id": RemoteName } | { "is": "import", "id": ListenAddr };
export type Problem = { 
/**
 * What went wrong.
 */
code: Code, 
/**
 * Its sort: that of its code, or what another version said of a code that is not known here.
 */
kind: ProblemKind, 
/**
 * How bad it is where it stands; as `kind`.
 */
severity: Severity, 
/**
 * What it is about; none where the sentence says it all.
 */
subject?: Subject, 
/**
 * When it began, in seconds since 1970-01-01 UTC, if it stands in a running agent.
 */
since?: number, 
/**
 * One sentence saying what could not be done and why; no capital at its start, no full stop.
 */
message: string, 
/**
 * One line saying what to do; may be empty.
 */
hint: string, };
export type LayerName = "agent" | "secrets" | "tor" | "clock" | "network" | "bootstrap" | "descriptor" | "introduction" | "listeners" | "key" | "rendezvous" | "port";
export type Layer = { 
/**
 * Which.
 */
layer: LayerName, 
/**
 * Of which remote; none for what is this host's, and where there are no remotes.
 */
remote?: RemoteName, 
/**
 * Whether it works. None where that is not known: it was not tried, since one before it failed, or there is nothing to try it on.
 */
ok: boolean | null, 
/**
 * What was found, or why it was not tried; no capital at its start, no full stop.
 */
sentence: string, 
/**
 * What to do, where there is something.
 */
hint: string | null, };
export type StoreKind = "os-keyring" | "file";
export type Bridge = string;
export type Status = { 
/**
 * [`VERSION`].
 */
version: number, 
/**
 * The running agent; none when the configuration alone was read.
 */
agent: AgentStatus | null, 
/**
 * What is exported, by virtual port.
 */
exports: Array<ExportStatus>, 
/**
 * The clients, by name.
 */
clients: Array<ClientStatus>, 
/**
 * The remotes, by name.
 */
remotes: Array<RemoteStatus>, 
/**
 * Join requests that wait for an invite.
 */
requests: Array<RemoteName>, 
/**
 * What needs a person, worst first.
 */
problems: Array<Problem>, 
/**
 * The last day's events since the agent started, oldest first; the last 200 of them.
 */
events?: Array<Event>, };
export type AgentStatus = { 
/**
 * Of ormesh.
 */
version: string, 
/**
 * Its process id.
 */
pid: number, 
/**
 * Seconds since it started.
 */
uptime: number, 
/**
 * What it is doing.
 */
state: AgentState, 
/**
 * For how many seconds nothing has come from the network, where that is too long for the state to be certain.
 */
unconfirmed?: number, 
/**
 * The tor that it runs.
 */
tor: TorStatus | null, 
/**
 * Where its SOCKS server listens; none when it is off or blocked.
 */
socks: string | null, 
/**
 * Who may use it; none when it is off or blocked.
 */
socks_users?: Users, 
/**
 * What a person should know of who can reach it, in a sentence; none where it listens on loopback.
 */
socks_note?: string, 
/**
 * The file that describes a private Tor network, when it uses one.
 */
network: string | null, 
/**
 * The secret store in use.
 */
secrets: string | null, 
/**
 * How many bridges tor may enter the network by; none where it uses the public relays.
 */
bridges?: number, };
export type AgentState = { "is": "starting" } | { "is": "connecting", 
/**
 * 0 to 100.
 */
percent: number, 
/**
 * What it is doing, in words.
 */
doing: string, } | { "is": "online" } | { "is": "offline", 
/**
 * Why, in a sentence.
 */
why: string, } | { "is": "paused" };
export type Event = { 
/**
 * When, in seconds since 1970-01-01 UTC by this host's clock.
 */
at: number, 
/**
 * What.
 */
what: Happening, };
export type Happening = { "is": "online", 
/**
 * For how many seconds it was not connected; since the agent's start, where it was not connected before.
 */
after: number, 
/**
 * Whether it was connected before.
 */
again: boolean, } | { "is": "offline", 
/**
 * Why, in a sentence.
 */
why: string, } | { "is": "found", 
/**
 * Which.
 */
remote: RemoteName, 
/**
 * For how many seconds it could not be reached; none where it was not known to be lost.
 */
after: number | null, } | { "is": "lost", 
/**
 * Which.
 */
remote: RemoteName, 
/**
 * Why, in a sentence.
 */
why: string, } | { "is": "connected", 
/**
 * Which.
 */
client: ClientName, } | { "is": "began", 
/**
 * What, in a sentence.
 */
what: string, } | { "is": "ended", 
/**
 * What it was, in a sentence.
 */
what: string, };
export type TorStatus = { 
/**
 * As tor says it.
 */
version: string, 
/**
 * The binary.
 */
path: string, 
/**
 * Where it was found.
 */
found: string, 
/**
 * Why it is not the one that a person named, in `ORMESH_TOR` or `agent.tor-path`.
 */
passed_over?: string, };
export type ExportStatus = { 
/**
 * Where connections go.
 */
target: Target, 
/**
 * The virtual port.
 */
port: Port, 
/**
 * The only clients that it is for; every client when none.
 */
clients?: Array<ClientName>, };
export type ClientStatus = { 
/**
 * Its name.
 */
name: ClientName, 
/**
 * The address of its service.
 */
address: OnionAddress, 
/**
 * The ports it was limited to.
 */
ports: Array<Port> | null, 
/**
 * The exported ports that it may reach: those that are for it, less what it was not granted.
 */
may_reach?: Array<Port>, 
/**
 * Its last day.
 */
expires: Day | null, 
/**
 * None without an agent.
 */
state: ClientState | null, 
/**
 * Open sessions.
 */
sessions: number, 
/**
 * Bytes from the client and to it, since the agent started.
 */
bytes: [number, number], 
/**
 * The ports that turn it away, for want of room.
 */
full?: Array<Port>, 
/**
 * When it last opened or held a session, in seconds since 1970-01-01 UTC.
 */
last_seen: number | null, };
export type ClientState = { "is": "invited" } | { "is": "no-port" } | { "is": "publishing" } | { "is": "reachable" } | { "is": "connected" } | { "is": "expired" } | { "is": "failing", 
/**
 * Why, in a sentence.
 */
why: string, };
export type RemoteStatus = { 
/**
 * Its name.
 */
name: RemoteName, 
/**
 * The service that it runs for us.
 */
address: OnionAddress, 
/**
 * Our last day there, as the invite said.
 */
expires: Day | null, 
/**
 * None without an agent.
 */
state: RemoteState | null, 
/**
 * For how many seconds it was not heard of, where that is too long for the state to be certain.
 */
unconfirmed?: number, 
/**
 * The ports that it offers us, as it said last; before it has, those that the invite named. None where that is not known.
 */
offers?: Array<Port>, 
/**
 * Its imports, by listening address.
 */
imports: Array<ImportStatus>, };
export type RemoteState = { "is": "unknown" } | { "is": "reachable", 
/**
 * Its round trip, in milliseconds.
 */
round_trip: number, } | { "is": "unreachable", 
/**
 * Why, in a sentence.
 */
why: string, };
export type ImportStatus = { 
/**
 * Where it listens.
 */
listen: ListenAddr, 
/**
 * The remote's virtual port.
 */
remote_port: Port, 
/**
 * Who may connect to it; none for a Unix socket, which is the user's alone.
 */
users?: Users, 
/**
 * What a person should know of who can reach it, in a sentence; none where it listens on loopback.
 */
note?: string, 
/**
 * None without an agent.
 */
state: ImportState | null, 
/**
 * Open connections.
 */
sessions: number, 
/**
 * Those of them that go through a session with the remote's agent; none where none does.
 */
through?: SessionStatus, 
/**
 * Bytes to the remote and from it, since the agent started.
 */
bytes: [number, number], };
export type SessionStatus = { 
/**
 * How many.
 */
connections: number, 
/**
 * Circuits that carry them together.
 */
circuits: number, 
/**
 * For how many seconds they are held, since there is no way to the remote.
 */
holding?: number, };
export type ImportState = { "is": "opening" } | { "is": "paused" } | { "is": "listening" } | { "is": "blocked", 
/**
 * Why, and who holds the address.
 */
why: string, } | { "is": "degraded" } | { "is": "not-exported", 
/**
 * Which remote.
 */
by: RemoteName, };
export type HalfClose = "hold" | "pass";
export type Session = "on" | "off";
export type Hold = string;
export type Users = "me" | "all";
export type Setting = { "key": "socks-addr", "value": string | null } | { "key": "socks-users", "value": Users } | { "key": "tor-path", "value": string | null } | { "key": "max-sessions", "value": number } | { "key": "sessions", "value": boolean } | { "key": "bridges", "value": Array<Bridge> };
export type Edit = { "edit": "add-export", 
/**
 * Where the connections go.
 */
target: Target, 
/**
 * The virtual port; that of the target when none.
 */
port: Port | null, 
/**
 * Whether the target may be another host.
 */
allow_lan: boolean, 
/**
 * The only clients that it is for; every client when none.
 */
clients?: Array<ClientName>, } | { "edit": "set-export", 
/**
 * The virtual port.
 */
port: Port, 
/**
 * The only clients that it is for from now on; every client when none.
 */
clients: Array<ClientName> | null, } | { "edit": "move-export", 
/**
 * The virtual port.
 */
port: Port, 
/**
 * The virtual port from now on; the same when none.
 */
to?: Port, 
/**
 * Where the connections go from now on; as before when none.
 */
target?: Target, 
/**
 * Whether that may be another host.
 */
allow_lan: boolean, } | { "edit": "delete-export", 
/**
 * The virtual port.
 */
port: Port, } | { "edit": "set-client", 
/**
 * Which.
 */
name: ClientName, 
/**
 * The ports granted from now on; all when the inner one is none. Unchanged when the outer one is none.
 */
ports?: Array<Port> | null | null, 
/**
 * The last day; never expires when the inner one is none. Unchanged when the outer one is none.
 */
expires?: Day | null | null, } | { "edit": "rename-client", 
/**
 * Which.
 */
name: ClientName, 
/**
 * What it is called from now on.
 */
to: ClientName, } | { "edit": "rename-remote", 
/**
 * Which.
 */
name: RemoteName, 
/**
 * What it is called from now on.
 */
to: RemoteName, } | { "edit": "add-import", 
/**
 * Of which remote.
 */
remote: RemoteName, 
/**
 * Its virtual port.
 */
remote_port: Port, 
/**
 * Where to listen.
 */
listen: ListenAddr, 
/**
 * What becomes of a half-close.
 */
half_close: HalfClose, 
/**
 * Who may connect to it; all when none.
 */
users?: Users, 
/**
 * Whether its connections go through a session; they do when none.
 */
session?: Session, 
/**
 * How long they are held then; 15 minutes when none.
 */
hold?: Hold, } | { "edit": "set-import", 
/**
 * Which listening address.
 */
listen: ListenAddr, 
/**
 * Where it listens from now on.
 */
to?: ListenAddr, 
/**
 * What becomes of a half-close.
 */
half_close?: HalfClose, 
/**
 * Who may connect to it.
 */
users?: Users, 
/**
 * Whether its connections go through a session.
 */
session?: Session, 
/**
 * How long they are held then.
 */
hold?: Hold, } | { "edit": "delete-import", 
/**
 * Of which remote; of any when none.
 */
remote: RemoteName | null, 
/**
 * Which listening address.
 */
listen: ListenAddr, } | { "edit": "set" } & Setting;
export type Pong = { 
/**
 * Its address.
 */
address: OnionAddress, 
/**
 * Time until the connection stood, in milliseconds.
 */
connect: number, 
/**
 * Round trip through that connection, in milliseconds; none where the host does not run ormesh.
 */
round_trip: number | null, 
/**
 * The ports granted, as the host says.
 */
ports: Array<PortTold>, };
export type PortTold = { 
/**
 * Which.
 */
port: Port, 
/**
 * Whether it accepts connections there.
 */
open: boolean, };
export type Served = { 
/**
 * The port.
 */
port: Port, 
/**
 * What an export of it leads to.
 */
target: Target, 
/**
 * The program's name; none where this user can't see whose it is: another user's, say.
 */
program?: string, };
export type SecretsStatus = { 
/**
 * The store in use; none before the first secret.
 */
store: StoreKind | null, 
/**
 * Whether it can be read and written now.
 */
usable: boolean, 
/**
 * Why not, where it can't.
 */
problem?: Problem, 
/**
 * How many secrets the configuration needs, and how many of these the store has.
 */
needed: number, 
/**
 * See `needed`.
 */
found: number, 
/**
 * Secrets whose change was interrupted and will be settled.
 */
in_doubt: number, 
/**
 * Another store, used before, that some of these may be in, too.
 */
also_in?: StoreKind, 
/**
 * Where they lie, in words: a directory, or the keyring's entry names.
 */
place: string, };
