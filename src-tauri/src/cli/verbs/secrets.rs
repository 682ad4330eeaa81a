//! `ormesh secrets`: the store that holds the keys.

use clap::{Args, Subcommand};
use ormesh_core::ipc::{Request, Response, SecretsStatus};
use ormesh_core::model::problem::catalogue;
use ormesh_core::model::store_kind::StoreKind;

use crate::args;
use crate::output::{self, DONE, Outcome};
use crate::this_host::Host;

#[derive(Subcommand)]
pub(crate) enum Secrets {
    /// Say which store is in use, whether it can be used now, and whether it has what is needed
    Status(Status),
    /// Ask for the password of a keyring that is locked, in the keyring's own window
    Unlock,
    /// Move every key to another store; safe to interrupt
    Migrate(Migrate),
    /// Erase what interrupted changes, and clients taken out of the file by hand, left in the store
    Prune(Prune),
}

#[derive(Args)]
pub(crate) struct Status {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Migrate {
    /// Where to: os-keyring or file
    #[arg(long, value_name = "STORE", value_parser = args::store_kind)]
    to: StoreKind,
}

#[derive(Args)]
pub(crate) struct Prune {
    /// Give up a store that was used before and is gone for good, instead: keys that are left in it are not erased any more
    #[arg(long, value_name = "STORE", value_parser = args::store_kind)]
    forget_store: Option<StoreKind>,
}

impl Secrets {
    pub(crate) async fn run(self) -> Outcome {
        let host = Host::from_env()?;
        match self {
            Self::Status(Status { json }) => match host.ask(Request::SecretsStatus).await? {
                Response::Secrets(status) => show(&status, json),
                _ => Err(catalogue::unexpected_answer().into()),
            },
            Self::Unlock => {
                host.done(Request::UnlockSecrets).await?;
                output::said("the secret store is unlocked");
                DONE
            }
            Self::Migrate(Migrate { to }) => {
                host.done(Request::MigrateSecrets { to }).await?;
                output::said(format!("the secrets are in {to}"));
                DONE
            }
            Self::Prune(Prune { forget_store: Some(store) }) => {
                host.done(Request::ForgetStore { store }).await?;
                output::said(format!("gave {store} up"));
                DONE
            }
            Self::Prune(Prune { forget_store: None }) => {
                host.done(Request::PruneSecrets).await?;
                output::said("pruned");
                DONE
            }
        }
    }
}

/// Prints the state; a store that can't be used is a problem too, so that scripts see it in the exit code.
fn show(status: &SecretsStatus, json: bool) -> Outcome {
    if json {
        output::json(status)?;
    } else {
        output::print(&to_text(status))?;
        if let Some(other) = status.also_in {
            output::hint(format!(
                "they are erased in {other}, too, once it answers; if it is gone for good, `ormesh secrets prune --forget-store {other}`"
            ));
        }
    }
    match status.problem.clone() {
        Some(problem) => Err(problem.into()),
        None => DONE,
    }
}

fn to_text(status: &SecretsStatus) -> String {
    let store = status.store.map_or("not chosen yet: at the first secret".into(), |kind| kind.to_string());
    let mut text = format!("store: {store}\n");
    if !status.place.is_empty() {
        text.push_str(&format!("place: {}\n", status.place));
    }
    let usable = match (status.usable, status.found) {
        (true, _) => "yes",
        (false, 0) => "no",
        (false, _) => "to read only",
    };
    text.push_str(&format!("usable: {usable}\nfound: {} of {}\n", status.found, status.needed));
    if status.in_doubt > 0 {
        text.push_str(&format!("interrupted changes: {}\n", status.in_doubt));
    }
    if let Some(other) = status.also_in {
        text.push_str(&format!("also in: {other}, which was used before\n"));
    }
    text
}
