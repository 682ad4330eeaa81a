//! The rows of the table of what must hold: what is done, its bar, and the tests that hold it.

/// A row.
#[derive(Debug)]
pub(super) struct Row {
    /// Its number in the table. Rows of one number belong together.
    pub(super) number: &'static str,
    /// How it is named on the command line.
    pub(super) name: &'static str,
    /// What is done.
    pub(super) what: &'static str,
    /// What must come of it.
    pub(super) bar: &'static str,
    /// What holds it.
    pub(super) held: Held,
}

/// What holds a row.
#[derive(Debug)]
pub(super) enum Held {
    /// Tests, each of which is run once: its target, and its whole name.
    Tests(&'static [(Target, &'static str)]),
    /// The same of tests that take more than an hour.
    Long(&'static [(Target, &'static str)]),
    /// Unit tests of the core with this in their name, each with [`INPUTS`] inputs.
    Fuzzed(&'static str),
    /// A fault that `tests/soak` plays in turn with others for some time, by the name that it has there.
    Played,
    /// Faults by chance, which this test of `tests/soak` plays for some time.
    Drawn(&'static str),
    /// So many seeds of the simulation.
    Simulated(u64),
}

impl Held {
    /// Whether it takes about an hour or more: it is played where its row is named, and left out of a run of all.
    pub(super) fn is_long(&self) -> bool {
        matches!(self, Self::Long(_) | Self::Simulated(AN_HOUR))
    }
}

/// Where a test is, to cargo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// The core's unit tests.
    Core,
    /// A binary of tests.
    Test(&'static str),
}

use Held::{Drawn, Fuzzed, Long, Played, Simulated, Tests};
use Target::{Core, Test};

const CLI: Target = Test("cli");
const FAULTS: Target = Test("faults");
const MESH: Target = Test("mesh");
const SOAK: Target = Test("soak");
const PROCESS: Target = Test("engine_process");
const HOSTILE: Target = Test("engine_hostile");
const CONTRACT: Target = Test("engine_contract");
const LIMITS: Target = Test("forward_limits");
const STORES: Target = Test("secrets_stores");

/// Inputs of each parser in a soak.
pub(super) const INPUTS: u64 = 1_000_000;

/// Seeds of the simulation in a run of all.
const SEEDS: u64 = 1_000;
/// What two cores play in about an hour.
const AN_HOUR: u64 = 40_000;

/// All rows, in the order of the table.
pub(super) const ROWS: &[Row] = &[
    Row {
        number: "1",
        name: "tor-killed-exporter",
        what: "The exporter's tor is killed",
        bar: "a new connection works ≤ 15 s at p95, ≤ 30 s always",
        held: Played,
    },
    Row {
        number: "1",
        name: "exporter-comes-back",
        what: "The exporter's tor, then its agent, is killed while a connection waits",
        bar: "the connection that waits succeeds",
        held: Tests(&[(MESH, "restarts::the_exporters_agent_and_tor_come_back")]),
    },
    Row {
        number: "2",
        name: "tor-killed-importer",
        what: "The importer's tor is killed",
        bar: "a new connection works ≤ 5 s at p95, ≤ 30 s always",
        held: Played,
    },
    Row {
        number: "2",
        name: "importer-comes-back",
        what: "The importer's tor, then its agent, is killed while a connection waits",
        bar: "the connection that waits succeeds",
        held: Tests(&[(MESH, "restarts::the_importers_agent_and_tor_come_back")]),
    },
    Row {
        number: "3",
        name: "agent-killed",
        what: "The agent is killed",
        bar: "its tor ends with it; the next one starts over what was left",
        held: Tests(&[
            (FAULTS, "lifecycle::after_a_kill_the_next_agent_starts_over_what_was_left"),
            (FAULTS, "lifecycle::a_restart_does_not_wait_for_the_tor_of_the_killed"),
            (PROCESS, "no_tor_outlives_a_killed_owner_and_the_next_starts_over_what_is_left"),
        ]),
    },
    Row {
        number: "4",
        name: "killed-in-a-write",
        what: "Commands are killed while they write, 1,000 edits and 500 changes of keys",
        bar: "the file is the old or the new one, mode 0600; secrets and configuration agree",
        held: Tests(&[
            (FAULTS, "killed::a_killed_edit_leaves_the_old_file_or_the_new"),
            (FAULTS, "killed::killed_changes_of_keys_leave_no_key_too_many_and_none_missing"),
            (STORES, "file::a_kill_while_writing_leaves_the_old_secret_or_the_new"),
        ]),
    },
    Row {
        number: "4",
        name: "failed-system-calls",
        what: "EIO, ENOSPC or EINTR at each system call of a change",
        bar: "done, or refused in a sentence with nothing changed",
        held: Tests(&[
            (FAULTS, "injected::an_edit_fails_whole"),
            (FAULTS, "injected::a_change_of_keys_fails_whole"),
            (FAULTS, "injected::a_directory_that_can_not_be_synced_is_no_obstacle_to_the_first_command"),
        ]),
    },
    Row {
        number: "5",
        name: "writers",
        what: "90 commands change the configuration at a time, eleven times, without an agent and with one",
        bar: "990 of 990 changes are kept",
        held: Tests(&[
            (FAULTS, "together::writers_without_an_agent_lose_nothing"),
            (FAULTS, "together::writers_with_an_agent_lose_nothing"),
            (FAULTS, "together::adding_and_deleting_at_once_ends_as_it_must"),
            (FAULTS, "together::the_same_client_added_by_many_is_one"),
        ]),
    },
    Row {
        number: "6",
        name: "connections",
        what: "As many connections on one import as 20,000 descriptors allow beside another one: 5,700",
        bar: "no wrong byte; ≤ 40 KiB a connection; descriptors as before",
        held: Tests(&[
            (LIMITS, "a_thousand_idle_connections_cost_two_descriptors_and_little_memory_each"),
            (MESH, "crowds::one_port_leaves_room_for_the_others_and_both_ends_say_that_it_is_full"),
        ]),
    },
    Row {
        number: "7",
        name: "turnover",
        what: "100,000 connections, each with a transfer, and 10,000 that are aborted",
        bar: "memory grows < 1 MiB; descriptors as before",
        held: Tests(&[(LIMITS, "connections_that_come_and_go_leave_nothing_behind")]),
    },
    Row {
        number: "8",
        name: "half-close",
        what: "FIN, RST, half-open and slow readers at each side",
        bar: "bytes before a FIN are whole, or a failure is seen; the half-open are let go of",
        held: Tests(&[(MESH, "half_close::half_close_leaves_answers_whole_or_shows_a_failure")]),
    },
    Row {
        number: "9",
        name: "few-descriptors",
        what: "Far more connections than descriptors",
        bar: "nothing ends, others are served, all recovers",
        held: Tests(&[
            (LIMITS, "more_connections_than_descriptors_end_nothing_and_are_recovered_from"),
            (LIMITS, "an_import_whose_remote_is_away_can_not_starve_another"),
            (MESH, "crowds::one_client_leaves_room_for_the_others_where_descriptors_are_few"),
            (FAULTS, "open_files::a_limit_of_open_files_that_keeps_tor_from_starting_is_named"),
        ]),
    },
    Row {
        number: "10",
        name: "taken-ports",
        what: "An import's port is taken, or needs a right",
        bar: "that import alone is blocked, with by whom; it recovers by itself",
        held: Tests(&[
            (FAULTS, "ports::a_taken_import_is_blocked_alone_and_by_whom"),
            (FAULTS, "ports::a_low_port_without_the_right_is_blocked_with_what_gives_it"),
            (FAULTS, "ports::a_taken_socks_address_is_one_problem_and_no_more"),
        ]),
    },
    Row {
        number: "11",
        name: "full-disk",
        what: "The disk is full, hangs or is slow",
        bar: "the agent goes on, the command fails, the old file is intact",
        held: Tests(&[
            (FAULTS, "revoked::access_ends_with_a_full_disk_and_the_hint_is_about_space"),
            (FAULTS, "held::a_slow_disk_holds_up_nobody_else"),
            (FAULTS, "held::a_disk_that_hangs_keeps_no_agent_from_ending"),
            (CLI, "agent::a_log_on_a_full_disk_is_no_harm"),
            (CLI, "output::a_full_disk_is_said"),
        ]),
    },
    Row {
        number: "12",
        name: "wrong-clock",
        what: "tor says that this host's clock is wrong",
        bar: "said with its direction, as long as it is so",
        held: Tests(&[
            (Core, "engine::ctor::events::tests::a_wrong_clock_is_said_with_its_direction"),
            (
                Core,
                "plan::health::tests::what_is_wrong_with_tor_clock_store_and_remotes_is_a_problem_while_it_is",
            ),
            (Core, "plan::verdicts::tests::a_wrong_clock_fails_in_its_own_layer"),
        ]),
    },
    Row {
        number: "13",
        name: "asleep-exporter",
        what: "The exporter's host stands still for two minutes, and its connections are cut meanwhile",
        bar: "works ≤ 10 s after",
        held: Played,
    },
    Row {
        number: "13",
        name: "asleep-importer",
        what: "The importer's host does",
        bar: "works ≤ 10 s after",
        held: Played,
    },
    Row {
        number: "14",
        name: "cut-exporter",
        what: "The exporter's network refuses and resets for 40 s",
        bar: "said ≤ 5 s; works ≤ 30 s after",
        held: Played,
    },
    Row {
        number: "14",
        name: "cut-importer",
        what: "The importer's network does",
        bar: "said ≤ 5 s; works ≤ 30 s after",
        held: Played,
    },
    Row {
        number: "14",
        name: "cut-both",
        what: "Both ends' network does",
        bar: "said ≤ 5 s; works ≤ 30 s after",
        held: Played,
    },
    Row {
        number: "14",
        name: "silent-exporter",
        what: "The exporter's network is silent for 40 s",
        bar: "said ≤ 15 s; works ≤ 30 s after",
        held: Played,
    },
    Row {
        number: "14",
        name: "silent-importer",
        what: "The importer's network is",
        bar: "said ≤ 15 s; works ≤ 30 s after",
        held: Played,
    },
    Row {
        number: "14",
        name: "silent-both",
        what: "Both ends' network is",
        bar: "said ≤ 15 s; works ≤ 30 s after",
        held: Played,
    },
    Row {
        number: "14",
        name: "relays-gone",
        what: "Every relay is gone for 40 s, and has forgotten every descriptor",
        bar: "said ≤ 5 s; works ≤ 30 s after",
        held: Played,
    },
    Row {
        number: "14",
        name: "moved-exporter",
        what: "The exporter's host gets another address, while a session is open",
        bar: "said ≤ 5 s; works ≤ 30 s after",
        held: Played,
    },
    Row {
        number: "14",
        name: "moved-importer",
        what: "The importer's host does",
        bar: "said ≤ 5 s; works ≤ 30 s after",
        held: Played,
    },
    Row {
        number: "14",
        name: "stranded-exporter",
        what: "The exporter's connections lead nowhere from one moment on, and nobody says so",
        bar: "works ≤ 30 s",
        held: Played,
    },
    Row {
        number: "14",
        name: "stranded-importer",
        what: "The importer's do",
        bar: "works ≤ 30 s",
        held: Played,
    },
    Row {
        number: "14",
        name: "tor-wedged-exporter",
        what: "The exporter's tor stands still",
        bar: "said ≤ 15 s; works ≤ 45 s",
        held: Played,
    },
    Row {
        number: "14",
        name: "tor-wedged-importer",
        what: "The importer's tor stands still",
        bar: "works ≤ 15 s",
        held: Played,
    },
    Row {
        number: "15",
        name: "damaged-state",
        what: "tor's state and caches are damaged, cut, deleted; two agents on one directory",
        bar: "heals by itself, keys are never touched; the second agent is refused in words",
        held: Tests(&[
            (PROCESS, "damaged_state_and_caches_are_survived"),
            (PROCESS, "two_engines_do_not_share_a_directory"),
            (CONTRACT, "real::damaged_caches_and_state_heal"),
            (HOSTILE, "caches_that_tor_ends_over_are_put_aside_and_nothing_else"),
            (FAULTS, "lifecycle::a_second_agent_is_refused_and_disturbs_nothing"),
        ]),
    },
    Row {
        number: "16",
        name: "open-files",
        what: "Files are open to others, links, or another owner's",
        bar: "refused with the exact command that mends it",
        held: Tests(&[
            (FAULTS, "files::what_others_may_open_is_refused_with_the_command_that_closes_it"),
            (FAULTS, "files::what_belongs_to_another_user_is_refused"),
            (
                FAULTS,
                "files::a_symlink_in_the_place_of_a_private_directory_is_refused_and_what_it_leads_to_named",
            ),
        ]),
    },
    Row {
        number: "17",
        name: "fuzz",
        what: "Every parser of foreign bytes is given 1,000,000 mangled samples",
        bar: "no panic, none takes > 100 ms, memory stays bounded",
        held: Fuzzed("::fuzzed_"),
    },
    Row {
        number: "18",
        name: "hostile-control",
        what: "A hostile control port: endless lines, floods, garbage, early closes, a stranger in tor's place",
        bar: "tor is replaced, nothing is said to a stranger",
        held: Tests(&[
            (FAULTS, "hostile::a_tor_whose_control_port_is_hostile_is_replaced_until_it_is_not"),
            (FAULTS, "hostile::a_stranger_in_tors_place_is_told_nothing_and_said"),
            (FAULTS, "hostile::a_control_port_that_speaks_byte_by_byte_is_understood"),
            (HOSTILE, "a_stranger_in_tors_place_hears_nothing"),
            (HOSTILE, "what_is_not_a_control_connection_is_replaced"),
            (HOSTILE, "a_tor_that_goes_mad_is_lost_and_replaced"),
            (HOSTILE, "a_tor_whose_answer_never_ends_is_replaced"),
            (HOSTILE, "a_flood_of_events_delays_nobody_and_can_be_switched_off"),
        ]),
    },
    Row {
        number: "19",
        name: "hostile-socks",
        what: "tor's SOCKS answers: every code, garbage, closed or split at each byte",
        bar: "the right sentence and the right retry",
        held: Tests(&[
            (FAULTS, "hostile::each_code_of_socks_has_its_sentence_and_its_retry"),
            (
                FAULTS,
                "hostile::a_broken_slow_or_foreign_answer_of_socks_is_tried_again_and_nothing_is_sent_twice",
            ),
            (Core, "engine::ctor::socks::tests::every_code_has_its_meaning"),
            (Core, "engine::ctor::socks::tests::a_close_at_any_byte_is_told"),
            (Core, "engine::ctor::socks::tests::what_is_not_socks_is_told"),
            (Core, "engine::ctor::socks::tests::any_reply_in_any_split_ends_alike"),
            (Core, "forward::dialler::tests::an_attempt_that_hangs_is_followed_by_one_over_another_circuit"),
            (Core, "forward::dialler::tests::what_cannot_succeed_is_not_tried_again"),
        ]),
    },
    Row {
        number: "20",
        name: "dropped-keys",
        what: "The importer's tor drops the client's key, and the service is published anew",
        bar: "imports work again by themselves",
        held: Tests(&[
            (MESH, "leaks::a_key_that_tor_has_dropped_is_given_back"),
            (Core, "forward::dialler::tests::a_missing_key_is_handed_over_once"),
        ]),
    },
    Row {
        number: "20a",
        name: "exactly-once",
        what: "A request whose reply is lost",
        bar: "never delivered twice",
        held: Tests(&[(MESH, "exactly_once::a_request_is_never_delivered_twice")]),
    },
    Row {
        number: "20b",
        name: "changed-ports",
        what: "The ports of a client change under traffic",
        bar: "open sessions keep on",
        held: Tests(&[(MESH, "edits::a_client_s_ports_change_under_traffic")]),
    },
    Row {
        number: "21",
        name: "strangers",
        what: "No key, a wrong one, another client's, a port that is not exported",
        bar: "refused; the exporter's service sees no connection",
        held: Tests(&[
            (MESH, "strangers::a_tor_without_the_right_key_is_refused_and_nothing_arrives"),
            (MESH, "grants::each_of_many_clients_reaches_its_ports_alone"),
        ]),
    },
    Row {
        number: "22",
        name: "revoked",
        what: "A client with 50 sessions is revoked, whatever is killed meanwhile",
        bar: "all end at both ends, no other; it stays so",
        held: Tests(&[
            (MESH, "revocation::fifty_sessions_end_at_both_ends_and_no_other"),
            (MESH, "revocation::it_holds_when_the_agent_is_killed_at_any_moment"),
            (MESH, "revocation::it_needs_no_secret_store"),
        ]),
    },
    Row {
        number: "23",
        name: "local-protocol",
        what: "The local protocol: another user, oversized frames, 1,000 idle connections, other versions",
        bar: "refused before it is parsed; the owner is served",
        held: Tests(&[
            (FAULTS, "ipc::garbage_and_oversized_frames_end_their_connection_alone"),
            (FAULTS, "ipc::a_length_alone_claims_no_memory"),
            (FAULTS, "ipc::a_thousand_idle_connections_keep_nobody_out_and_do_not_stay"),
            (FAULTS, "ipc::another_user_is_refused_even_where_the_directories_stand_open"),
            (
                FAULTS,
                "ipc::a_command_of_another_version_is_told_ours_and_can_stop_the_agent_and_nothing_else",
            ),
        ]),
    },
    Row {
        number: "24",
        name: "canary-keys",
        what: "Known keys are looked for in logs, arguments, environments, memory maps and the local protocol",
        bar: "none is found",
        held: Tests(&[
            (FAULTS, "canary::no_private_key_is_found_outside_the_store"),
            (FAULTS, "canary::the_agent_can_not_be_looked_into"),
        ]),
    },
    Row {
        number: "25",
        name: "edits",
        what: "1,000 random edits under traffic, some invalid",
        bar: "what they are not about keeps every connection",
        held: Tests(&[(MESH, "edits::a_hundred_random_edits_leave_a_session_alone")]),
    },
    Row {
        number: "26",
        name: "keyrings",
        what: "Keyrings that are locked, gone, without a user or hang",
        bar: "the documented state; keys are never made anew",
        held: Tests(&[
            (FAULTS, "keyring::a_locked_keyring_is_no_reason_for_files"),
            (FAULTS, "keyring::a_bus_that_never_answers_is_given_up_and_is_no_reason_for_files"),
            (FAULTS, "keyring::a_keyring_that_is_gone_refuses_what_needs_keys_and_nothing_else"),
            (FAULTS, "keyring::an_agent_under_a_locked_keyring_goes_on_and_recovers"),
            (FAULTS, "keyring::an_agent_before_a_bus_that_never_answers_starts_answers_and_stops"),
        ]),
    },
    Row {
        number: "27",
        name: "no-leak",
        what: "Every connection that the agent and its tor make, while a remote is used and cut off",
        bar: "tor connects to its network alone, the agent to local addresses alone; nothing is sent by UDP",
        held: Tests(&[(MESH, "leaks::nothing_leaves_but_tors_own_connections")]),
    },
    Row {
        number: "28",
        name: "five-clients",
        what: "Five clients, a fault by chance every 30 to 120 s",
        bar: "no import is stuck > 60 s",
        held: Drawn("night::five_clients_are_never_stuck"),
    },
    Row {
        number: "28",
        name: "night",
        what: "One client, a fault by chance about every five minutes, a connection every 10 s",
        bar: "99.9 % of the minutes without a fault have a connection that works; none is stuck > 60 s",
        held: Drawn("night::all_minutes_without_a_fault_are_good"),
    },
    Row {
        number: "–",
        name: "simulation",
        what: "The whole agent over a simulated world: its faults, its time, its crashes, 1,000 seeds",
        bar: "what must hold holds after each effect",
        held: Simulated(SEEDS),
    },
    Row {
        number: "–",
        name: "hour-of-seeds",
        what: "The same, 40,000 seeds",
        bar: "what must hold holds after each effect",
        held: Simulated(AN_HOUR),
    },
    Row {
        number: "–",
        name: "sessions",
        what: "A login and transfers through a session while either tor or a relay is killed, all relays are gone, the importer sleeps, 20 times each",
        bar: "they go on; no byte is lost or doubled; access that ends, ends",
        held: Long(&[
            (MESH, "sessions::a_login_and_transfers_outlive_either_ends_tor"),
            (MESH, "sessions::a_login_and_transfers_outlive_relays"),
            (MESH, "sessions::a_login_and_transfers_outlive_a_sleep_of_the_importer"),
            (MESH, "sessions::each_direction_ends_in_its_own_time_and_a_reset_is_a_reset"),
            (MESH, "sessions::access_that_ends_ends_held_streams_too"),
            (Core, "session::sim::whatever_links_do_each_stream_is_whole_or_reset_at_both_ends"),
            (Core, "session::sim::hostile::random_frames_end_a_session_at_most"),
        ]),
    },
    Row {
        number: "–",
        name: "said",
        what: "What is shown has a proof, or its age is said",
        bar: "as documented",
        held: Tests(&[
            (SOAK, "short::an_exporter_whose_network_was_cut_says_so_and_is_back_soon_after"),
            (
                SOAK,
                "short::what_is_shown_is_confirmed_while_somebody_looks_and_its_age_is_said_where_it_is_not",
            ),
        ]),
    },
];
