//! What users do to a simulated host: commands with and without an agent, from several shells, and edits of the file by hand.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::super::commands::Commands;
use super::super::serve::Server;
use super::chance::Dice;
use super::ground::WHO;
use super::host::{Host, PEER_PORT, PEERS};
use super::paper::Client;
use crate::ipc::{Confidential, InviteFormat, Request, Response};
use crate::model::address::Port;
use crate::model::day::Day;
use crate::model::edit::{Edit, Setting};
use crate::model::invite::{Invite, InviteKey};
use crate::model::name::ClientName;
use crate::model::problem::{Code, Problem};
use crate::model::store_kind::StoreKind;
use crate::secrets::SecretId;

const CLIENTS: [&str; 4] = ["ann", "bob", "cyd", "dan"];
const DAY: u64 = 86_400;

/// Who carries a command out.
pub(super) enum Desk {
    Agent(Arc<Server>),
    Alone(Box<Commands>),
}

impl Desk {
    pub(super) async fn ask(&self, request: Request) -> Result<Response, Problem> {
        match self {
            // As over the local protocol: what was asked for goes on when the shell goes away.
            Self::Agent(server) => {
                let server = Arc::clone(server);
                let who = WHO.try_with(|who| *who).unwrap_or("somebody");
                let answering = WHO.scope(who, async move { server.answer(request).await });
                match tokio::spawn(answering).await {
                    Ok(answer) => answer,
                    Err(_) => std::future::pending().await,
                }
            }
            Self::Alone(commands) => commands.carry_out(request).await,
        }
    }
}

/// Where imports may listen.
pub(super) fn listen(number: u64) -> String {
    format!("127.0.0.1:{}", 5000 + number)
}

fn ids_of(client: &Client) -> [SecretId; 2] {
    [SecretId::Service(client.address), SecretId::Client(client.key)]
}

fn some_clients(dice: &mut Dice) -> Option<BTreeSet<ClientName>> {
    dice.percent(35).then(|| {
        let names = CLIENTS.iter().filter(|_| dice.percent(40)).map(|name| name.parse().expect("a name"));
        names.collect()
    })
}

fn some_ports(dice: &mut Dice) -> Option<BTreeSet<Port>> {
    dice.percent(35).then(|| (0..3).map(|_| port(dice)).collect())
}

fn port(dice: &mut Dice) -> Port {
    Port::new(u16::try_from(4000 + dice.below(4)).expect("small")).expect("not zero")
}

fn remote(dice: &mut Dice) -> (u64, String) {
    let number = dice.below(PEERS);
    (number, format!("p{number}"))
}

/// One command that changes what is there, and its words: another name, port or address.
fn change(dice: &mut Dice) -> (String, Edit) {
    match dice.below(4) {
        0 => {
            let (name, to) = (dice.pick(&CLIENTS), dice.pick(&CLIENTS));
            let edit =
                Edit::RenameClient { name: name.parse().expect("a name"), to: to.parse().expect("a name") };
            (format!("client rename {name} {to}"), edit)
        }
        1 => {
            let ((_, name), (_, to)) = (remote(dice), remote(dice));
            let edit =
                Edit::RenameRemote { name: name.parse().expect("a name"), to: to.parse().expect("a name") };
            (format!("remote rename {name} {to}"), edit)
        }
        2 => {
            let (from, to) = (listen(dice.below(3)), listen(dice.below(3)));
            let edit = Edit::SetImport {
                listen: from.parse().expect("an address"),
                to: Some(to.parse().expect("an address")),
                half_close: None,
                users: None,
                session: None,
                hold: None,
            };
            (format!("import set {from} --to {to}"), edit)
        }
        _ => {
            let (from, to) = (port(dice), port(dice));
            let edit = Edit::MoveExport { port: from, to: Some(to), target: None, allow_lan: false };
            (format!("export set {from} --to {to}"), edit)
        }
    }
}

/// One command of many about few names, which change hands between them.
fn hands(dice: &mut Dice) -> (String, Request) {
    let (name, to) = (dice.pick(&CLIENTS[..2]), dice.pick(&CLIENTS[..3]));
    let client: ClientName = name.parse().expect("a name");
    match dice.below(100) {
        0..40 => (format!("client delete {name}"), Request::DeleteClient { name: client }),
        40..75 => {
            let name = dice.pick(&CLIENTS[..3]);
            let edit =
                Edit::RenameClient { name: name.parse().expect("a name"), to: to.parse().expect("a name") };
            (format!("client rename {name} {to}"), Request::Edit(edit))
        }
        75..85 => (format!("client rotate {name}"), Request::RotateClient { name: client, key: None }),
        _ => (format!("client add {to}"), Request::add_client(to.parse().expect("a name"))),
    }
}

/// One command that somebody types.
fn request(host: &Host, dice: &mut Dice) -> (String, Request) {
    // In some stories only: those of the seeds that are remembered stay what they were.
    if host.seed % 3 == 2 && dice.percent(10) {
        let (text, edit) = change(dice);
        return (text, Request::Edit(edit));
    }
    if host.seed % 9 == 8 && dice.percent(60) {
        return hands(dice);
    }
    let name = dice.pick(&CLIENTS);
    let client: ClientName = name.parse().expect("a name");
    let day = |dice: &mut Dice| Day::from_unix(host.ground.unix() + DAY * dice.below(3));
    match dice.below(100) {
        0..14 => {
            let target = format!("127.0.0.1:{}", port(dice));
            let edit = Edit::AddExport {
                target: target.parse().expect("a target"),
                port: None,
                allow_lan: false,
                clients: some_clients(dice),
            };
            (format!("export add {target}"), Request::Edit(edit))
        }
        14..20 => {
            let port = port(dice);
            (
                format!("export set {port}"),
                Request::Edit(Edit::SetExport { port, clients: some_clients(dice) }),
            )
        }
        20..25 => {
            let port = port(dice);
            (format!("export delete {port}"), Request::Edit(Edit::DeleteExport { port }))
        }
        25..42 => {
            let expires = dice.percent(25).then(|| day(dice));
            let ports = some_ports(dice);
            (format!("client add {name}"), Request::AddClient { name: client, ports, expires, key: None })
        }
        42..51 => (format!("client delete {name}"), Request::DeleteClient { name: client }),
        51..58 => (format!("client rotate {name}"), Request::RotateClient { name: client, key: None }),
        58..65 => {
            let ports = dice.percent(60).then(|| some_ports(dice));
            let expires = dice.percent(60).then(|| dice.percent(50).then(|| day(dice)));
            (format!("client set {name}"), Request::Edit(Edit::SetClient { name: client, ports, expires }))
        }
        65..68 => (
            format!("client token {name}"),
            Request::ClientToken { name: client, format: InviteFormat::Ormesh },
        ),
        68..76 => {
            let (number, name) = remote(dice);
            let invite = Confidential::new(host.invite(number));
            let request =
                Request::AddRemote { name: name.parse().expect("a name"), invite, replace: dice.percent(30) };
            (format!("remote add {name}"), request)
        }
        76..79 => {
            let (_, name) = remote(dice);
            (format!("remote delete {name}"), Request::DeleteRemote { name: name.parse().expect("a name") })
        }
        79..87 => {
            let (_, name) = remote(dice);
            let listen = listen(dice.below(3));
            let edit = Edit::AddImport {
                remote: name.parse().expect("a name"),
                remote_port: Port::new(PEER_PORT).expect("not zero"),
                listen: listen.parse().expect("an address"),
                half_close: Default::default(),
                users: None,
                session: None,
                hold: None,
            };
            (format!("import add {name} {listen}"), Request::Edit(edit))
        }
        87..90 => {
            let listen = listen(dice.below(3));
            let edit = Edit::DeleteImport { remote: None, listen: listen.parse().expect("an address") };
            (format!("import delete {listen}"), Request::Edit(edit))
        }
        90..92 => {
            let addr = dice.pick(&[None, Some("127.0.0.1:9250"), Some("127.0.0.1:9251")]);
            let addr = addr.map(|addr| addr.parse().expect("an address"));
            (format!("config set socks-addr {addr:?}"), Request::Edit(Edit::Set(Setting::SocksAddr(addr))))
        }
        92..93 => ("config set max-sessions".to_owned(), Request::Edit(Edit::Set(Setting::MaxSessions(7)))),
        93..95 => {
            let name = dice.pick(&["q0", "q1"]);
            let parsed = name.parse().expect("a name");
            match dice.percent(60) {
                true => (format!("remote request {name}"), Request::RequestRemote { name: parsed }),
                false => (format!("remote delete {name}"), Request::DeleteRemote { name: parsed }),
            }
        }
        95..97 => ("secrets prune".to_owned(), Request::PruneSecrets),
        97..98 => ("secrets status".to_owned(), Request::SecretsStatus),
        _ => {
            let to = dice.pick(&[StoreKind::File, StoreKind::OsKeyring]);
            (format!("secrets migrate --to {to}"), Request::MigrateSecrets { to })
        }
    }
}

fn said(answer: &Result<Response, Problem>) -> String {
    match answer {
        Ok(_) => "done".to_owned(),
        Err(problem) => problem.message.clone(),
    }
}

/// Somebody types a command; what it promises is held against the program from then on.
pub(super) async fn type_command(host: &Host, shell: &str, desk: &Desk, dice: &mut Dice) {
    let (text, request) = request(host, dice);
    let before = host.truths.paper();
    let deleted = match &request {
        Request::DeleteClient { name } => before.clients.get(name.as_str()).cloned(),
        _ => None,
    };
    let rotated = match &request {
        Request::RotateClient { name, .. } => before.clients.get(name.as_str()).cloned(),
        _ => None,
    };
    let renewed = match &request {
        Request::Edit(Edit::SetClient { name, expires: Some(_), .. }) => {
            before.clients.get(name.as_str()).cloned()
        }
        _ => None,
    };
    let renames = host.truths.renames_so_far();
    let renaming = match &request {
        Request::Edit(Edit::RenameClient { name, to }) => {
            let client = before.clients.get(name.as_str());
            client.map(|client| host.truths.renames(client.address, to.as_str()))
        }
        _ => None,
    };
    let wanting = match (&request, desk) {
        // An agent looks for the name at once.
        (Request::DeleteClient { name }, Desk::Agent(_)) => Some(host.truths.wants(name.as_str(), false)),
        (Request::DeleteClient { name } | Request::RotateClient { name, .. }, _) => {
            Some(host.truths.wants(name.as_str(), true))
        }
        _ => None,
    };
    let was_full = host.ground.weather().disk_full;
    let prunes = matches!(
        request,
        Request::PruneSecrets | Request::MigrateSecrets { .. } | Request::DeleteClient { .. }
    );
    if prunes {
        host.truths.pruned();
    }
    host.ground.say(&format!("{shell}: {text} …"));
    if was_full && let Some(client) = &deleted {
        host.truths.excuse(ids_of(client));
    }
    let answer = desk.ask(request).await;
    // What was done is looked at before it is forgotten who wanted it.
    host.truths.look();
    drop((renaming, wanting));
    host.ground.say(&format!("{shell}: {text}: {}", said(&answer)));
    if prunes {
        host.truths.pruned();
    }
    // Of one that got another name meanwhile nothing was said.
    let is_meant = |client: &Client| !host.truths.was_renamed(&client.address, renames);
    if let Some(client) = deleted.filter(is_meant) {
        match (&answer, desk) {
            // Whatever keys another shell has given it in between.
            (Ok(_), _) => host.truths.gone(client.address, true),
            (Err(_), Desk::Agent(_)) => host.truths.gone(client.address, false),
            _ => {}
        }
        if host.ground.weather().disk_full {
            host.truths.excuse(ids_of(&client));
        }
    }
    if let (Some(client), Ok(_)) = (rotated.filter(is_meant), &answer) {
        host.truths.gone(client.address, false);
    }
    // Behind means that it is in the file, too.
    let is_changed = answer.as_ref().map_or_else(|problem| problem.code == Code::AgentBehind, |_| true);
    if let Some(client) = renewed.filter(|client| is_changed && is_meant(client)) {
        host.truths.renewed(&client.address);
    }
    match answer {
        Ok(Response::Invite { text, .. }) => keep_invite(host, text.expose()),
        Ok(Response::Status(status)) if matches!(desk, Desk::Agent(_)) => host.truths.judge_status(&status),
        _ => {}
    }
    host.truths.look();
}

fn keep_invite(host: &Host, text: &str) {
    if let Ok(Invite { address, key: InviteKey::Private(key), .. }) =
        Invite::parse(text, Day::from_unix(host.ground.unix()))
    {
        host.guests().insert(address, *key.expose());
    }
}

/// Asks for the status, and has it judged.
pub(super) async fn look_at_status(host: &Host, server: &Server) {
    if let Ok(status) = server.current_status().await {
        host.truths.judge_status(&status);
    }
}

/// Somebody edits the file in place of a command.
pub(super) async fn edit_by_hand(host: &Host, server: &Server, dice: &mut Dice) {
    let config = &host.paths.config;
    let Ok(text) = std::fs::read_to_string(config) else { return };
    if host.truths.is_spoilt() {
        return;
    }
    let (refusals, prunes) = (host.ground.refusals(), host.truths.prunes());
    let before = host.truths.paper();
    let Ok(mut document) = text.parse::<toml_edit::DocumentMut>() else { return };
    // What could not be remembered (on a full disk) can't be known to be lost.
    let is_remembered = std::fs::read_to_string(host.paths.last_good()).is_ok_and(|good| good == text);
    let spoils = is_remembered && !before.clients.is_empty() && !before.exports.is_empty();
    let (mut taken_out, mut cut) = (Vec::new(), None);
    match dice.below(10) {
        0..4 => {
            let names: Vec<String> = before.clients.keys().cloned().collect();
            // The last one would not be taken out without being asked.
            if names.len() < 2 {
                return;
            }
            let name = dice.pick(&names);
            host.ground.say(&format!("editor: takes {name} out"));
            host.truths.means(&name);
            let entry = clients_of(&mut document).and_then(|clients| clients.remove(&name));
            // No command was there to note its keys: that takes a moment.
            taken_out = before.clients.get(&name).map(ids_of).into_iter().flatten().collect();
            taken_out.retain(|id| host.truths.excuse_anew(*id));
            cut = before.clients.get(&name).cloned().zip(entry).map(|(client, entry)| (name, client, entry));
            // What an interrupted change left in doubt is erased all the same.
            cut = cut.filter(|(_, client, _)| !host.truths.is_in_doubt(&ids_of(client)));
            replace(host, &document.to_string());
        }
        4..7 => {
            host.ground.say("editor: adds a comment");
            replace(host, &format!("# {}\n{text}", dice.below(100)));
        }
        kind if spoils => {
            let (how, spoilt) = match kind {
                7 => ("empties the file", Some(String::new())),
                8 => ("takes the file away", None),
                _ => ("leaves the file half written", Some(format!("{text}\n[client.x]\naddress = \"half"))),
            };
            host.ground.say(&format!("editor: {how}"));
            host.truths.spoil(true);
            match spoilt {
                Some(spoilt) => replace(host, &spoilt),
                None => drop(std::fs::remove_file(config)),
            }
            host.ground.touched();
            server.reload().await;
            host.ground.turn("editor", dice.millis(100, 60_000)).await;
            if dice.percent(50) && host.truths.is_spoilt() {
                // What commands have done meanwhile went into no file, so the editor's text is as good as it was.
                host.ground.say("editor: writes the file whole again");
                replace(host, &text);
                host.truths.spoil(false);
            }
        }
        _ => return,
    }
    host.ground.turn("editor", dice.millis(50, 2_000)).await;
    server.reload().await;
    host.ground.turn("editor", Duration::from_secs(3)).await;
    // A crash before this comes between the file and its note: then nothing says that the keys are there. Nor does it where the disk had no
    // room, or where they were moved in that very moment.
    if host.ground.refusals() == refusals && host.truths.prunes() == prunes {
        host.truths.excuse_no_more(&taken_out);
    }
    let Some((name, client, entry)) = cut.filter(|_| dice.percent(40)) else { return };
    // What was cut is pasted again: nothing is lost.
    host.ground.turn("editor", dice.millis(100, 100_000)).await;
    let Ok(text) = std::fs::read_to_string(config) else { return };
    let Ok(mut document) = text.parse::<toml_edit::DocumentMut>() else { return };
    let is_lost = host.truths.is_gone(&client.address) || host.truths.prunes() != prunes;
    let Some(clients) = clients_of(&mut document) else { return };
    if is_lost || clients.contains_key(&name) || host.truths.is_spoilt() {
        return;
    }
    host.ground.say(&format!("editor: puts {name} back"));
    clients.insert(&name, entry);
    replace(host, &document.to_string());
    server.reload().await;
}

fn clients_of(document: &mut toml_edit::DocumentMut) -> Option<&mut dyn toml_edit::TableLike> {
    document.get_mut("client").and_then(toml_edit::Item::as_table_like_mut)
}

fn replace(host: &Host, text: &str) {
    let new = host.paths.config.with_extension("new");
    std::fs::write(&new, text)
        .and_then(|()| std::fs::rename(&new, &host.paths.config))
        .expect("a directory of ours");
    host.ground.touched();
}

/// Somebody decides about a file that was spoilt.
pub(super) async fn mend(host: &Host, desk: &Desk, dice: &mut Dice) {
    if !host.truths.is_spoilt() {
        return;
    }
    let accepts = dice.percent(20);
    let (text, request) = match accepts {
        true => ("config accept", Request::AcceptConfig),
        false => ("config restore", Request::RestoreConfig),
    };
    let answer = desk.ask(request).await;
    host.ground.say(&format!("mender: {text}: {}", said(&answer)));
    // It is in the file, too, where the loop has not come to it.
    if answer.as_ref().map_or_else(|problem| problem.code == Code::AgentBehind, |_| true) {
        match accepts {
            true => host.truths.accept(),
            false => host.truths.spoil(false),
        }
    }
}

/// A pause between two acts of a person.
pub(super) async fn idle(host: &Host, who: &str, dice: &mut Dice) {
    let most = if dice.percent(30) { 300 } else { 25_000 };
    host.ground.turn(who, dice.millis(1, most)).await;
}

/// What there is before anything happens: without it most commands would have nothing to be about.
pub(super) async fn furnish(host: &Host, desk: &Desk, dice: &mut Dice) {
    for number in 4000..4004 {
        if dice.percent(75) {
            let target = format!("127.0.0.1:{number}").parse().expect("a target");
            let edit = Edit::AddExport { target, port: None, allow_lan: false, clients: None };
            let _ = desk.ask(Request::Edit(edit)).await;
        }
    }
    for name in CLIENTS {
        if dice.percent(60) {
            let name = name.parse().expect("a name");
            let request = Request::add_client(name);
            if let Ok(Response::Invite { text, .. }) = desk.ask(request).await {
                keep_invite(host, text.expose());
            }
        }
    }
    for number in 0..PEERS {
        if dice.percent(60) {
            let (name, invite) = (format!("p{number}"), Confidential::new(host.invite(number)));
            let name: crate::model::name::RemoteName = name.parse().expect("a name");
            let _ = desk.ask(Request::AddRemote { name: name.clone(), invite, replace: false }).await;
            let edit = Edit::AddImport {
                remote: name,
                remote_port: Port::new(PEER_PORT).expect("not zero"),
                listen: listen(number).parse().expect("an address"),
                half_close: Default::default(),
                users: None,
                session: None,
                hold: None,
            };
            let _ = desk.ask(Request::Edit(edit)).await;
        }
    }
}

/// A client that was invited connects, if it can.
pub(super) fn patience() -> Duration {
    Duration::from_secs(5)
}
