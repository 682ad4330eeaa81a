//! The codes of problems: one for each kind, with its exit code, severity, meaning and cure.
//!
//! `docs/problems.md` is made from this list. A code keeps its name for ever: scripts and other versions know it by that.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The sort of a problem; it decides the command's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum ProblemKind {
    /// Anything without a more specific kind. Exit code 1.
    #[default]
    Failed,
    /// What was typed or written in the configuration makes no sense. Exit code 2.
    Usage,
    /// No agent runs, or it is not ready yet. Exit code 3.
    NotReady,
    /// Refused by a rule here, or by the other host. Exit code 4.
    Refused,
    /// The secret store is locked, missing or does not answer. Exit code 5.
    Secrets,
    /// tor is missing, too old or does not work. Exit code 6.
    Tor,
}

impl ProblemKind {
    /// The exit code of a command that ends with this problem.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotReady => 3,
            Self::Refused => 4,
            Self::Secrets => 5,
            Self::Tor => 6,
        }
    }
}

/// How much a problem that stands takes away; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Severity {
    /// Something that the user wants does not work.
    #[default]
    Error,
    /// Something works in part, or will not go on working.
    Warning,
    /// Everything works; somebody may want to know.
    Note,
}

macro_rules! codes {
    ($($variant:ident, $name:literal, $kind:ident, $severity:ident, $meaning:literal, $cure:literal;)+) => {
        /// What went wrong, apart from its words and from what it is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(test, derive(ts_rs::TS))]
        pub enum Code {
            $(
                #[doc = $meaning]
                #[serde(rename = $name)]
                $variant,
            )+
            /// One that this version does not know, or that has no code of its own.
            #[serde(rename = "other")]
            Other,
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)+ Self::Other];

            /// Its name, as JSON has it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Other => "other",
                }
            }

            /// The sort that it belongs to.
            pub fn kind(self) -> ProblemKind {
                match self {
                    $(Self::$variant => ProblemKind::$kind,)+
                    Self::Other => ProblemKind::Failed,
                }
            }

            /// How bad it is where it stands.
            pub fn severity(self) -> Severity {
                match self {
                    $(Self::$variant => Severity::$severity,)+
                    Self::Other => Severity::Error,
                }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)+
                    Self::Other => "A problem without a code of its own, or one of another version of ormesh.",
                }
            }

            /// What to do about it, in a sentence.
            pub fn cure(self) -> &'static str {
                match self {
                    $(Self::$variant => $cure,)+
                    Self::Other => "Read its sentence and its hint.",
                }
            }
        }
    };
}

codes! {
    BadArgument, "bad-argument", Usage, Error,
        "What was typed can't be read, or is not complete.",
        "Write it as the hint shows; `--help` explains each argument.";
    BadSetting, "bad-setting", Usage, Error,
        "There is no such setting, or it can't have that value.",
        "`ormesh config set --help` lists the settings and their values.";
    BadEnvironment, "bad-environment", Usage, Error,
        "An environment variable that ormesh reads has a value that can't be used.",
        "Correct or unset the variable that is named; `ormesh --help` lists them.";
    BadInvite, "bad-invite", Usage, Error,
        "The text is no invite, or not all of one.",
        "Copy it again as a whole, from `ormesh1` to its end, or ask for a new one.";
    InviteExpired, "invite-expired", Refused, Error,
        "The last day of the invite is over.",
        "Ask the host's owner for a new one.";
    NoRequest, "no-request", Refused, Error,
        "The invite answers a request for access that was not made on this host under this name.",
        "Use the name that the request was made under, or make one: `ormesh remote request NAME`.";

    NotThere, "not-there", Refused, Error,
        "There is no export, client, remote, import or request of that name.",
        "`ormesh status` shows all that there are.";
    AlreadyThere, "already-there", Refused, Error,
        "That name, port, address or key is in use already.",
        "Choose another one, or change or delete the one that is there.";
    Ambiguous, "ambiguous", Refused, Error,
        "What was named can be more than one thing.",
        "Name the port.";
    AddressTaken, "address-taken", Refused, Error,
        "Another import of this host, or its SOCKS address, is configured to listen there.",
        "Choose another address, or delete the import that has it.";
    NotExported, "not-exported", Refused, Error,
        "A client can be granted only ports that are exported.",
        "Export the port first: `ormesh export add PORT`.";
    NotOnThisHost, "not-on-this-host", Refused, Error,
        "The export's target is another host, which was not allowed.",
        "Add `--allow-lan` if clients may reach that host through this one.";
    ReservedPort, "reserved-port", Refused, Error,
        "Virtual port 1 is ormesh's own.",
        "Choose another port: `ormesh export add TARGET PORT`, `ormesh import add REMOTE PORT`.";
    TooMany, "too-many", Refused, Error,
        "There is a limit, and it is reached.",
        "Delete what is not used any more.";
    NotAllowed, "not-allowed", Refused, Error,
        "The change makes no sense, or is not this program's to make.",
        "Do as the hint says.";
    SocksOff, "socks-off", Refused, Error,
        "The agent's SOCKS address is needed, and it is off.",
        "`ormesh config set agent.socks-addr 127.0.0.1:9250`.";
    NoPage, "no-page", Refused, Error,
        "A browser can't open what listens there.",
        "Use the address with a program that speaks its protocol.";
    StateNotKept, "state-not-kept", Refused, Error,
        "The state directory goes with its container, and the keys with it.",
        "Mount a volume there, or set `ORMESH_EPHEMERAL=1`.";

    ClientExpired, "client-expired", Refused, Error,
        "The last day of the client is over, so that its invite would not be taken.",
        "Give it another last day: `ormesh client set NAME --expires WHEN`.";
    ClientCutOff, "client-cut-off", Refused, Error,
        "The client was deleted, and could not be taken out of the configuration file yet.",
        "Wait until it is, or let it in again with new keys: `ormesh client rotate NAME`.";
    ClientStillListed, "client-still-listed", Failed, Warning,
        "A client was deleted and is cut off, but the configuration file lists it still.",
        "Let the file be changed (a full or read-only disk, a mistake in it); the agent then takes the client out by itself.";
    InviteGone, "invite-gone", Refused, Error,
        "The invite can't be shown again, since the key in it was erased when the client connected.",
        "Make a new one: `ormesh client rotate NAME`.";
    KeyElsewhere, "key-elsewhere", Refused, Error,
        "The client made its key itself, so that it is not here.",
        "Use the invite that answers its request: `ormesh client invite NAME`.";
    ServiceNotDown, "service-not-down", Failed, Error,
        "The client was deleted and its gates are closed, but tor has not taken its service down yet.",
        "Nothing: nobody gets in, and the agent goes on trying.";

    ConfigMistake, "config-mistake", Usage, Error,
        "The configuration file says something that makes no sense; the last good one stays in force.",
        "Correct the line that is named; `ormesh config check` looks at the file.";
    ConfigUnreadable, "config-unreadable", Failed, Error,
        "The configuration file can't be read; the last good one stays in force.",
        "Do as the hint says; `ormesh config path` says where the file is.";
    ConfigLost, "config-lost", Refused, Error,
        "The configuration file is gone, empty or names nothing of what was there; the last good one stays in force.",
        "`ormesh config restore` writes it back; `ormesh config accept` confirms that all is to go.";
    ConfigCut, "config-cut", Refused, Error,
        "The configuration file ends in the middle of a line and something is missing; the last good one stays in force.",
        "End its last line, or `ormesh config restore` or `accept`.";
    GivenLost, "given-lost", Refused, Error,
        "The configuration that a container is given is gone, empty or cut off, or names nothing of what was there; what it was given before stays in force.",
        "Give it again and start the agent anew; commands take out what is to go.";
    NoGoodConfig, "no-good-config", Refused, Error,
        "There is no earlier configuration that could be written back.",
        "Write the file anew, or take a copy of your own.";
    ConfigUnwritable, "config-unwritable", Failed, Error,
        "The configuration file can't be written; it is as it was.",
        "Make room, or make the file writable.";
    ConfigBusy, "config-busy", Failed, Error,
        "Another program is writing the configuration file.",
        "Try again when it has finished.";
    ConfigForm, "config-form", Failed, Error,
        "The configuration file is written in a form that a command can't change safely.",
        "Make the change by hand.";
    ConfigUnwatched, "config-unwatched", Failed, Note,
        "The system does not tell when the configuration file changes; it is looked at every few seconds instead.",
        "Raise the system's limits of watching (`sysctl fs.inotify` on Linux).";

    UnsafeFile, "unsafe-file", Failed, Error,
        "A file or directory belongs to another user, is open to others, or is not what it should be.",
        "Do as the hint says; run ormesh as the user whose files they are.";
    FileFailed, "file-failed", Failed, Error,
        "A file or directory of ormesh can't be used.",
        "Look at the reason: a full disk, missing permission, a bad disk.";
    NoHome, "no-home", Failed, Error,
        "The user has no home directory.",
        "Set `ORMESH_CONFIG` (a file) and `ORMESH_STATE` (a directory).";
    Busy, "busy", Failed, Error,
        "Another command has been making a change for too long.",
        "Let it end, or end it; it may be waiting for the keyring to be unlocked.";
    HistorySpoilt, "history-spoilt", Failed, Warning,
        "The file that says which clients have connected can't be read, and was put aside.",
        "Put a good copy in its place while no agent runs, or go on without.";

    NoAgent, "no-agent", NotReady, Error,
        "No agent is running.",
        "Start it: `ormesh agent run`, or as a service.";
    AgentUnreachable, "agent-unreachable", NotReady, Warning,
        "An agent runs, but its socket is not there.",
        "Wait some seconds: it makes the socket again.";
    AgentStarting, "agent-starting", NotReady, Error,
        "The agent is starting.",
        "Try again in a moment.";
    AgentPaused, "agent-paused", NotReady, Error,
        "The agent is paused: nothing is shared or reached.",
        "`ormesh agent resume`.";
    AgentEnding, "agent-ending", NotReady, Error,
        "The agent is ending.",
        "Try again when it has ended.";
    AgentEnded, "agent-ended", NotReady, Error,
        "The agent ended, or could not be talked to, while it was asked.",
        "`ormesh status` shows whether it runs; its log says why it ended.";
    AgentSilent, "agent-silent", NotReady, Error,
        "An agent runs and does not answer.",
        "See its log, or end it and start it again.";
    AgentImpostor, "agent-impostor", Refused, Error,
        "Another program answers where the agent of this host should. Nothing was sent to it.",
        "End that program, and start the agent again.";
    OtherVersion, "other-version", NotReady, Error,
        "The agent that runs is another version of ormesh.",
        "Restart the agent.";
    AgentBehind, "agent-behind", Failed, Error,
        "The agent was told, and has not come to it yet: it is busy.",
        "It goes on by itself; `ormesh agent stop` ends all at once.";
    UnexpectedAnswer, "unexpected-answer", Failed, Error,
        "The agent gave an answer to another question.",
        "Please report it.";
    AgentRuns, "agent-runs", Failed, Error,
        "An agent runs already with this state directory.",
        "End it (`ormesh agent stop`), or give the second one a state directory of its own.";
    AgentManaged, "agent-managed", Refused, Error,
        "The agent is run by systemd, which would start it again.",
        "End it by `systemctl`.";
    AgentNotEnding, "agent-not-ending", Failed, Error,
        "The agent was told to end and still runs.",
        "See its log, or end it by hand.";
    AgentFailed, "agent-failed", Failed, Error,
        "The agent could not be started, or ended by itself.",
        "See its log; start it again.";
    AppSilent, "app-silent", Failed, Error,
        "The desktop app runs already, and does not answer.",
        "End `ormesh-desktop`, then start it again.";
    CommandMissing, "command-missing", Failed, Error,
        "The desktop app does not find the command `ormesh`.",
        "Install it beside the app, or in a directory of `PATH`.";
    NotReady, "not-ready", NotReady, Error,
        "What was waited for was not ready in time.",
        "`ormesh status` shows what is missing; a longer `--timeout` gives Tor more time.";

    StoreLocked, "store-locked", Secrets, Error,
        "The secret store is locked.",
        "Log in, or unlock the keyring.";
    StoreAbsent, "store-absent", Secrets, Error,
        "The secret store that has the keys is not there.",
        "Start the keyring, or move the keys to files: `ormesh secrets migrate --to file`.";
    StoreSilent, "store-silent", Secrets, Error,
        "The secret store does not answer.",
        "See whether the keyring waits for an answer, or restart it.";
    StoreUnsafe, "store-unsafe", Secrets, Error,
        "A directory or file with keys is not safe.",
        "Do as the hint says.";
    StoreFailed, "store-failed", Secrets, Error,
        "The secret store gave an error.",
        "`ormesh secrets status` tries it.";
    StoreUnchosen, "store-unchosen", Secrets, Error,
        "The configuration names keys, and no store that has them.",
        "Set `agent.secrets` in the file to the store that has them.";
    StoreFull, "store-full", Failed, Error,
        "There is no room for the file of a key.",
        "Free some space and try again.";
    KeyMissing, "key-missing", Secrets, Error,
        "The secret store does not have a key that is needed: it is lost, or the store is locked and hides it.",
        "Unlock the keyring; a key that is lost is made anew by `ormesh client rotate`, or comes with a new invite.";
    KeyDamaged, "key-damaged", Secrets, Error,
        "A key in the secret store is damaged.",
        "Make a new one: `ormesh client rotate`, or a new invite.";
    KeysInDoubt, "keys-in-doubt", Refused, Error,
        "Nothing says whether some keys are needed, so they are kept.",
        "Put the configuration file in its place.";
    KeysNotMoved, "keys-not-moved", Secrets, Error,
        "The keys could not be moved to another store; they are where they were.",
        "Mend the store that is named, and try again.";

    TorMissing, "tor-missing", Tor, Error,
        "There is no tor that can be run: none was found, or it is too old.",
        "Install tor 0.4.9.11 or newer, or give its path: `ormesh config set agent.tor-path PATH`.";
    TorPassedOver, "tor-passed-over", Tor, Warning,
        "The tor that was named can't be used, and another one is.",
        "Name one that can be used: `ormesh config set agent.tor-path PATH`, or `''` for the one that is found; mend `ORMESH_TOR`.";
    TorFailed, "tor-failed", Tor, Error,
        "tor can't be started (a program that its bridges need may be missing), or it ended.",
        "Do as the hint says; the agent starts it again by itself.";
    TorStuck, "tor-stuck", Tor, Error,
        "tor does not get on with connecting to the network.",
        "Check the network and the clock; where Tor is blocked, use bridges (`agent.bridges`).";
    ClockWrong, "clock-wrong", Tor, Error,
        "This host's clock is wrong, so that tor can't work.",
        "Set the clock.";
    ServiceFailed, "service-failed", Tor, Error,
        "tor does not take the service of a client.",
        "Nothing: the agent tries again by itself. The agent's log says more.";
    ServiceOpen, "service-open", Tor, Error,
        "The service of a client let a stranger in, and was taken down.",
        "Please report it, with tor's version.";
    WithdrawalFailed, "withdrawal-failed", Tor, Error,
        "tor does not take a service down; its gates are closed.",
        "Nothing: the agent tries again by itself.";
    RemoteKeyFailed, "remote-key-failed", Tor, Error,
        "tor does not take this host's key for a remote.",
        "Nothing: the agent tries again by itself.";
    RemoteKeyKept, "remote-key-kept", Tor, Warning,
        "tor does not forget this host's key for a remote.",
        "Nothing: the agent tries again by itself.";

    AddressInUse, "address-in-use", Failed, Error,
        "Another program listens at the address of an import or of the SOCKS server.",
        "End that program, or choose another address.";
    CannotListen, "cannot-listen", Failed, Error,
        "The agent can't listen at the address of an import or of the SOCKS server.",
        "Choose an address that is this computer's, and a port that this user may use.";
    GateFailed, "gate-failed", Failed, Error,
        "The socket behind a client's port could not be opened.",
        "Nothing: the agent tries again by itself.";
    UserRefused, "user-refused", Refused, Note,
        "Another user tried an address that is for the agent's user alone.",
        "Nothing, or open it to all users.";
    Full, "full", Refused, Warning,
        "So many connections are open here that more are turned away.",
        "Close some, or allow more: `ormesh config set agent.max-sessions NUMBER`, or, except on Windows, `ulimit -n`.";
    FullThere, "full-there", Refused, Warning,
        "A remote has so many connections that it turns more away.",
        "Close some, or ask its owner to allow more.";
    NoBackend, "no-backend", Failed, Warning,
        "Nothing accepts connections behind an exported port, as a client or doctor found.",
        "Start the program that is exported there.";
    NoBackendThere, "no-backend-there", Refused, Error,
        "The remote is there, but nothing accepts connections behind its port.",
        "Its owner must start what is exported there.";
    CutOff, "cut-off", Failed, Error,
        "A connection broke before its end.",
        "Try again: what has come may be a part of what was sent.";

    RemoteUnreachable, "remote-unreachable", Failed, Error,
        "The remote can't be reached.",
        "See whether the host is up; `ormesh doctor NAME` says where the way ends.";
    RemoteKeyRefused, "remote-key-refused", Refused, Error,
        "The remote does not take this host's key: access was ended, or the invite was replaced.",
        "Ask its owner for a new invite, then: `ormesh remote add NAME --replace`.";
    RemoteKeyMissing, "remote-key-missing", Refused, Error,
        "tor was not given this host's key for the remote.",
        "Try again in a moment; `ormesh status` says what is wrong with the key.";
    PortNotGranted, "port-not-granted", Refused, Error,
        "The remote does not export that port to this host.",
        "Ask its owner to export it, or to grant it to you.";
    TorNotConnected, "tor-not-connected", NotReady, Error,
        "tor is not connected yet.",
        "`ormesh status` shows how far it is; `ormesh wait` waits for it.";
    DialFailed, "dial-failed", Tor, Error,
        "tor refused to connect, or broke off.",
        "Try again; the agent's log says more.";
    PlainTor, "plain-tor", Usage, Error,
        "The remote is not known to run ormesh, so that only a port of it can be tried.",
        "Name a port: `ormesh ping NAME PORT`.";

    SystemFailed, "system-failed", Failed, Error,
        "The system refused something that ormesh needs.",
        "Look at the reason that is given.";
    OutputFailed, "output-failed", Failed, Error,
        "The result could not be written.",
        "Look at where the output goes.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
