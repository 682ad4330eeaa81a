//! Exports, clients, remotes and imports: what changes the mesh.

use ormesh_core::ipc::{Confidential, InviteFormat, Request, Response};
use ormesh_core::model::config::Config;
use ormesh_core::model::edit::Edit;
use ormesh_core::model::invite::{Invite, InviteKey};
use ormesh_core::model::name::{ClientName, RemoteName};
use ormesh_core::model::problem::{Problem, catalogue};
use ormesh_core::model::served::Served;
use serde::Serialize;
use tauri::State;

use super::typed::{self, parse, usage};
use super::undo;
use crate::host::Host;
use crate::qr;

/// An invite as it is shown, on demand and once: nothing here keeps it.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "Invite"))]
pub(super) struct ShownInvite {
    /// `ormesh1…`.
    #[cfg_attr(test, ts(type = "string"))]
    text: Confidential,
    /// A QR code of it: a whole SVG document, dark on light, with its quiet zone.
    #[cfg_attr(test, ts(type = "string"))]
    qr_svg: Confidential,
    /// One sentence each: warnings and what follows.
    notes: Vec<String>,
    /// Whether it carries a private key.
    secret: bool,
}

/// A change that was made.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(super) struct Edited {
    /// What follows from it, one sentence each.
    notes: Vec<String>,
    /// The change that takes it back; none where that can't be done.
    #[cfg_attr(test, ts(type = "Edit | null"))]
    undo: Option<Edit>,
}

const CLIENT: &str = "as in my-MacBook";
const REMOTE: &str = "as in website";

#[tauri::command]
pub(super) async fn edit(host: State<'_, Host>, edit: serde_json::Value) -> Result<Edited, Problem> {
    let edit = serde_json::from_value(edit).map_err(|error| usage(error, ""))?;
    let before = host.config().ok();
    let edit = with_own_day(edit, before.as_ref())?;
    let undo = before.and_then(|before| undo::of(&edit, &before));
    Ok(Edited { notes: host.edit(edit).await?, undo })
}

/// What listens on this computer and could be exported.
#[tauri::command]
pub(super) async fn served(host: State<'_, Host>) -> Result<Vec<Served>, Problem> {
    match host.ask_any(Request::Served).await? {
        Response::Served(all) => Ok(all),
        _ => Err(catalogue::unexpected_answer()),
    }
}

#[tauri::command]
pub(super) async fn client_add(
    host: State<'_, Host>,
    name: String,
    ports: Option<Vec<u16>>,
    expires: Option<String>,
    request: Option<String>,
) -> Result<ShownInvite, Problem> {
    let request = Request::AddClient {
        name: parse(&name, CLIENT)?,
        ports: ports.map(|ports| ports.into_iter().map(typed::port).collect()).transpose()?,
        expires: expires.as_deref().map(typed::expiry).transpose()?,
        key: request.as_deref().map(typed::request).transpose()?,
    };
    invite(&host, request).await
}

#[tauri::command]
pub(super) async fn client_token(host: State<'_, Host>, name: String) -> Result<ShownInvite, Problem> {
    let name: ClientName = parse(&name, CLIENT)?;
    invite(&host, Request::ClientToken { name, format: InviteFormat::Ormesh }).await
}

#[tauri::command]
pub(super) async fn client_rotate(host: State<'_, Host>, name: String) -> Result<ShownInvite, Problem> {
    let name: ClientName = parse(&name, CLIENT)?;
    invite(&host, Request::RotateClient { name, key: None }).await
}

#[tauri::command]
pub(super) async fn client_delete(host: State<'_, Host>, name: String) -> Result<Vec<String>, Problem> {
    host.done(Request::DeleteClient { name: parse(&name, CLIENT)? }).await
}

#[tauri::command]
pub(super) async fn remote_add(
    host: State<'_, Host>,
    name: String,
    invite: Confidential,
    replace: bool,
) -> Result<Vec<String>, Problem> {
    host.done(Request::AddRemote { name: parse(&name, REMOTE)?, invite, replace }).await
}

#[tauri::command]
pub(super) async fn remote_request(host: State<'_, Host>, name: String) -> Result<String, Problem> {
    let name: RemoteName = parse(&name, REMOTE)?;
    match host.ask(Request::RequestRemote { name }).await? {
        Response::JoinRequest { text } => Ok(text),
        _ => Err(catalogue::unexpected_answer()),
    }
}

#[tauri::command]
pub(super) async fn remote_delete(host: State<'_, Host>, name: String) -> Result<Vec<String>, Problem> {
    host.done(Request::DeleteRemote { name: parse(&name, REMOTE)? }).await
}

/// A last day that was typed is the user's own, as `client_add` takes it. One that was left as it is is not given again: that would let in
/// whose access was seen to be over (`model/expired`), though the ports alone were changed.
fn with_own_day(edit: Edit, config: Option<&Config>) -> Result<Edit, Problem> {
    let Edit::SetClient { name, ports, expires: Some(Some(day)) } = edit else { return Ok(edit) };
    let before = config.and_then(|config| config.clients.get(&name)).and_then(|client| client.expires);
    let expires = if before == Some(day) { None } else { Some(Some(typed::expiry(&day.to_string())?)) };
    Ok(Edit::SetClient { name, ports, expires })
}

async fn invite(host: &Host, request: Request) -> Result<ShownInvite, Problem> {
    match host.ask(request).await? {
        Response::Invite { text, notes } => {
            let qr_svg = qr::svg(text.expose())?;
            // What can't be read back is treated as what it would be at worst.
            let secret = !matches!(
                Invite::parse(text.expose(), typed::today()),
                Ok(Invite { key: InviteKey::Requested, .. })
            );
            Ok(ShownInvite { text, qr_svg, notes, secret })
        }
        _ => Err(catalogue::unexpected_answer()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Edit {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_last_day_that_is_typed_must_not_be_over_and_one_that_is_kept_is_not_given_again() {
        use ormesh_core::model::config::{Client, InstanceId};

        let mut config = Config::new(InstanceId::from_random([0; 10]));
        let kept = Client {
            address: "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion".parse().unwrap(),
            key: "BEEQSCIJBEEQSCIJBEEQSCIJBEEQSCIJBEEQSCIJBEEQSCIJBEEQ".parse().unwrap(),
            ports: None,
            expires: Some("2020-01-01".parse().unwrap()),
            requested: false,
        };
        config.clients.insert("laptop".parse().unwrap(), kept);
        let set = |day: &str| {
            let edit = read(&format!(r#"{{"edit":"set-client","name":"laptop","expires":"{day}"}}"#));
            with_own_day(edit, Some(&config))
        };

        assert!(matches!(set("2020-01-01"), Ok(Edit::SetClient { expires: None, .. })));
        assert!(set("2020-01-02").unwrap_err().message.contains("over already"));
        assert!(matches!(set("2100-01-01"), Ok(Edit::SetClient { expires: Some(Some(_)), .. })));
    }

    #[test]
    fn a_field_left_out_stays_and_null_clears_it() {
        let read = read(r#"{"edit":"set-client","name":"laptop","expires":null}"#);

        let Edit::SetClient { ports, expires, .. } = read else { panic!("it is a set-client") };
        assert_eq!((ports, expires), (None, Some(None)));
    }
}
