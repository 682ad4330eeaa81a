//! A tor that lets strangers in: the service is taken down, a problem says so, and it stays down.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::host::{Host, Started};
use super::shells::Desk;
use super::story::runtime;
use crate::ipc::{Request, Response};
use crate::model::edit::Edit;
use crate::model::problem::{Code, Subject};
use crate::model::status::{ClientState, Status};

fn export(target: &str) -> Request {
    let target = target.parse().expect("a target");
    Request::Edit(Edit::AddExport { target, port: None, allow_lan: false, clients: None })
}

async fn status(desk: &Desk) -> Status {
    match desk.ask(Request::Status).await {
        Ok(Response::Status(status)) => *status,
        _ => panic!("no status"),
    }
}

#[test]
fn a_tor_that_lets_a_stranger_in_loses_the_service_for_good_and_status_says_why() {
    let home = tempfile::tempdir().unwrap();
    let host = Host::new(1, &home.path().canonicalize().unwrap());
    runtime().block_on(async {
        host.ground.begin(None);
        let Ok(Started { mut life, tor, peers: _peers, visitor: _visitor }) = host.start().await else {
            panic!("the agent does not start");
        };
        let desk = Desk::Agent(Arc::clone(&life.server));
        let client = Subject::Client("ann".parse().unwrap());
        let acting = async {
            let ann = Request::add_client("ann".parse().unwrap());
            for request in [export("127.0.0.1:4000"), ann] {
                assert!(desk.ask(request).await.is_ok());
            }
            sleep(Duration::from_secs(90)).await;
            assert_eq!(status(&desk).await.clients[0].state, Some(ClientState::Reachable));
            assert_eq!(host.truths.published().len(), 1);

            // The next descriptor is one that anybody can read.
            tor.let_strangers_in(true);
            assert!(desk.ask(export("127.0.0.1:4001")).await.is_ok());
            sleep(Duration::from_secs(90)).await;
            let found = status(&desk).await;
            let is_said = |status: &Status| {
                status.problems.iter().any(|p| p.code == Code::ServiceOpen && p.is_about(&client))
            };
            assert!(is_said(&found), "{:?}", found.problems);
            assert!(!matches!(found.clients[0].state, Some(ClientState::Reachable | ClientState::Connected)));
            assert_eq!(host.truths.published(), []);

            // That it would be refused now is no proof of what comes next.
            tor.let_strangers_in(false);
            tor.die();
            sleep(Duration::from_secs(300)).await;
            assert_eq!(host.truths.published(), []);
            assert!(is_said(&status(&desk).await));
            host.truths.look();
            assert!(desk.ask(Request::Stop).await.is_ok());
        };
        tokio::join!(life.run(), acting);
        life.end(std::future::pending()).await;
        host.truths.judge_end();
        host.ground.end();
    });
    assert_eq!(host.ground.failure(), None);
}
