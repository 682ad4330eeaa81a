//! A clock that is set back lets nobody in again: not in the same life of the agent, nor in the next, until a hand gives another end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::host::{Host, Started};
use super::shells::Desk;
use super::story::runtime;
use crate::ipc::{InviteFormat, Request, Response};
use crate::model::day::Day;
use crate::model::edit::Edit;
use crate::model::name::ClientName;
use crate::model::problem::Code;
use crate::model::status::ClientState;

const DAY: i64 = 86_400;
const LONG: Duration = Duration::from_secs(200);

fn ann() -> ClientName {
    "ann".parse().expect("a name")
}

async fn state(desk: &Desk) -> Option<ClientState> {
    match desk.ask(Request::Status).await {
        Ok(Response::Status(status)) => status.clients.into_iter().next().and_then(|client| client.state),
        _ => panic!("no status"),
    }
}

async fn done(desk: &Desk, request: Request) -> Response {
    match desk.ask(request).await {
        Ok(response) => response,
        Err(problem) => panic!("{problem}"),
    }
}

/// One life, in which this is done.
fn live(host: &Arc<Host>, act: impl AsyncFn(&Desk)) {
    runtime().block_on(async {
        host.ground.begin(None);
        let Ok(Started { mut life, tor: _tor, peers: _peers, visitor: _visitor }) = host.start().await else {
            panic!("the agent does not start");
        };
        let desk = Desk::Agent(Arc::clone(&life.server));
        let acting = async {
            act(&desk).await;
            host.truths.look();
            done(&desk, Request::Stop).await;
        };
        tokio::join!(life.run(), acting);
        life.end(std::future::pending()).await;
        host.ground.end();
    });
    host.truths.set_scene(None);
    assert_eq!(host.ground.failure(), None);
}

#[test]
fn a_clock_that_is_set_back_lets_nobody_in_whose_access_was_over() {
    let home = tempfile::tempdir().unwrap();
    let host = Host::new(1, &home.path().canonicalize().unwrap());
    let last = Day::from_unix(host.ground.unix());
    let set = |day| Request::Edit(Edit::SetClient { name: ann(), ports: None, expires: Some(Some(day)) });
    let is_out = async |desk: &Desk| {
        sleep(LONG).await;
        assert_eq!(state(desk).await, Some(ClientState::Expired));
        assert_eq!(host.truths.published(), []);
    };
    live(&host, async |desk| {
        let target = "127.0.0.1:4000".parse().unwrap();
        let export = Edit::AddExport { target, port: None, allow_lan: false, clients: None };
        done(desk, Request::Edit(export)).await;
        let add = Request::AddClient { name: ann(), ports: None, expires: Some(last), key: None };
        done(desk, add).await;
        sleep(LONG).await;
        assert_eq!(state(desk).await, Some(ClientState::Reachable));
        host.truths.jumped();
        host.ground.jump(2 * DAY);
        is_out(desk).await;
        host.truths.jumped();
        host.ground.jump(-2 * DAY);
        assert!(!last.is_over(Day::from_unix(host.ground.unix())));
        is_out(desk).await;
        let Err(problem) = desk.ask(Request::ClientToken { name: ann(), format: InviteFormat::Ormesh }).await
        else {
            panic!("an invite for a client that is out");
        };
        assert_eq!(problem.code, Code::ClientExpired);
        assert!(problem.message.contains("clock was set back"), "{problem}");
    });
    live(&host, async |desk| {
        is_out(desk).await;
        // The same day, but given by a hand.
        let Response::Done { notes } = done(desk, set(last)).await else { panic!("no notes") };
        assert!(notes.iter().any(|note| note == "ann can now reach port 4000"), "{notes:?}");
        sleep(LONG).await;
        assert_eq!(state(desk).await, Some(ClientState::Reachable));
        assert_eq!(host.truths.published().len(), 1);
    });
    live(&host, async |desk| {
        sleep(LONG).await;
        assert_eq!(state(desk).await, Some(ClientState::Reachable));
    });
}
