//! `ormesh doctor`: walks the layers of a connection, from this host to the other end, and says which one fails.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use ormesh_core::agent::{self, Examination};
use ormesh_core::model::layer::{Layer, first_failure};

use crate::args::{self, RemoteRef};
use crate::output::{self, DONE, Outcome};
use crate::this_host::Host;

use super::nc::resolve;

/// After this time a person is told why it takes so long.
const LONG: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(crate) struct Doctor {
    /// Try only this remote, by its name or its onion address; left out, all of them
    #[arg(value_parser = args::remote_ref)]
    remote: Option<RemoteRef>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) async fn run(self) -> Outcome {
        let host = Host::from_env()?;
        let remote = match self.remote {
            Some(remote) => Some(resolve(&host, remote).await?),
            None => None,
        };
        let examination = agent::doctor(host.paths(), Examination { remote, ..Examination::default() });
        tokio::pin!(examination);
        let layers = tokio::select! {
            layers = &mut examination => layers?,
            () = tokio::time::sleep(LONG) => {
                output::said("trying each remote: one that does not answer takes up to a minute");
                examination.await?
            }
        };
        match self.json {
            true => output::json(&layers)?,
            false => output::print(&to_text(&layers))?,
        }
        match first_failure(&layers) {
            Some(failed) => Ok(ExitCode::from(failed.layer.kind().exit_code())),
            None => DONE,
        }
    }
}

/// A line for each layer, and one below it for what to do.
fn to_text(layers: &[Layer]) -> String {
    let mut text = String::new();
    for Layer { layer, remote: _, ok, sentence, hint } in layers {
        let mark = match ok {
            Some(true) => "ok",
            Some(false) => "FAILED",
            None => "–",
        };
        text.push_str(&format!("{layer:12}  {mark:6}  {}\n", output::one_line(sentence)));
        if let Some(hint) = hint {
            text.push_str(&format!("{:22}hint: {}\n", "", output::one_line(hint)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use ormesh_core::model::layer::LayerName;

    use super::*;

    #[test]
    fn a_layer_is_a_line_and_its_hint_another() {
        let layers = [
            Layer::good(LayerName::Agent, "it runs"),
            Layer::bad(LayerName::Introduction, "none\nstands", "wait"),
            Layer::unknown(LayerName::Key, "not tried"),
        ];

        assert_eq!(
            to_text(&layers),
            "agent         ok      it runs\n\
             introduction  FAILED  none stands\n\
             \x20                     hint: wait\n\
             key           –       not tried\n"
        );
    }
}
