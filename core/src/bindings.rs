//! Writes the types that go to the desktop's web view as TypeScript, and fails when the file is out of date. It is in no released program.

use std::path::Path;

use ts_rs::{Config, TS};

use crate::ipc::{Pong, PortTold, SecretsStatus};
use crate::model::address::{ListenAddr, Port, Target};
use crate::model::bridge::Bridge;
use crate::model::config::{HalfClose, Users};
use crate::model::day::Day;
use crate::model::edit::{Edit, Setting};
use crate::model::hold::{Hold, Session};
use crate::model::layer::{Layer, LayerName};
use crate::model::name::{ClientName, RemoteName};
use crate::model::onion::OnionAddress;
use crate::model::problem::{Code, Problem, ProblemKind, Severity, Subject};
use crate::model::served::Served;
use crate::model::status::{
    AgentState, AgentStatus, ClientState, ClientStatus, Event, ExportStatus, Happening, ImportState,
    ImportStatus, RemoteState, RemoteStatus, SessionStatus, Status, TorStatus,
};
use crate::model::store_kind::StoreKind;

const HEAD: &str = "// Generated from ormesh-core's types. Don't edit: `ORMESH_BINDINGS=write cargo test -p ormesh-core bindings`\n";

macro_rules! declarations {
    ($cfg:expr, $($ty:ty),+ $(,)?) => {
        [$(format!("export {}\n", <$ty as TS>::decl($cfg))),+].concat()
    };
}

#[test]
fn the_windows_types_are_those_of_the_core() {
    // Every number that crosses is a count, a time or a port, far below 2^53.
    let cfg = Config::new().with_large_int("number");
    let types = declarations!(
        &cfg,
        Port,
        Target,
        ListenAddr,
        Day,
        OnionAddress,
        ClientName,
        RemoteName,
        ProblemKind,
        Severity,
        Code,
        Subject,
        Problem,
        LayerName,
        Layer,
        StoreKind,
        Bridge,
        Status,
        AgentStatus,
        AgentState,
        Event,
        Happening,
        TorStatus,
        ExportStatus,
        ClientStatus,
        ClientState,
        RemoteStatus,
        RemoteState,
        ImportStatus,
        SessionStatus,
        ImportState,
        HalfClose,
        Session,
        Hold,
        Users,
        Setting,
        Edit,
        Pong,
        PortTold,
        Served,
        SecretsStatus,
    );
    let wanted = format!("{HEAD}\n{types}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui/src/lib/bindings/index.ts");

    if std::env::var_os("ORMESH_BINDINGS").is_some_and(|how| how == "write") {
        std::fs::write(&path, &wanted).unwrap();
    }

    let found = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert!(
        found == wanted,
        "{} is stale: ORMESH_BINDINGS=write cargo test -p ormesh-core bindings",
        path.display()
    );
}
