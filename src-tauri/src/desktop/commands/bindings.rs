//! The window's types that are the shell's own: written as TypeScript, as the core's are; fails when the file there is not what this code says.
//! Nothing of it is in a build that ships.

use std::path::Path;

use ts_rs::{Config, TS};

use super::app::Settings;
use super::check::{Checkable, Checked};
use super::mesh::{Edited, ShownInvite};
use crate::host::{AgentPresence, View};
use crate::preferences::{Closing, Told};

const HEAD: &str = "// Generated from the shell's types. Don't edit: `ORMESH_BINDINGS=write cargo test --features desktop bindings`\n";

#[test]
fn the_windows_types_are_those_of_the_shell() {
    let cfg = Config::new().with_large_int("number");
    let types = [
        <AgentPresence as TS>::decl(&cfg),
        <View as TS>::decl(&cfg),
        <Edited as TS>::decl(&cfg),
        <ShownInvite as TS>::decl(&cfg),
        <Checkable as TS>::decl(&cfg),
        <Checked as TS>::decl(&cfg),
        <Closing as TS>::decl(&cfg),
        <Told as TS>::decl(&cfg),
        <Settings as TS>::decl(&cfg),
    ];
    let types: String = types.iter().map(|decl| format!("export {decl}\n")).collect();
    let wanted = format!(
        "{HEAD}\nimport type {{ Edit, Problem, Status, StoreKind, Users }} from './index';\n\n{types}"
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui/src/lib/bindings/shell.ts");

    if std::env::var_os("ORMESH_BINDINGS").is_some_and(|how| how == "write") {
        std::fs::write(&path, &wanted).unwrap();
    }

    let found = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert!(found == wanted, "{} is stale: see its first line", path.display());
}
