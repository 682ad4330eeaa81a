//! Writes the chronicle to the log: one line for each change that explains a night.

use std::time::Duration;

use crate::model::config::Config;
use crate::model::onion::OnionAddress;
use crate::model::status_yaml;
use crate::plan::chronicle::Line;

/// Writes one line. Remotes have the names of this configuration.
pub(super) fn write(config: &Config, line: Line) {
    let time = |time: Duration| match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds => status_yaml::uptime(seconds),
    };
    let name = |address: &OnionAddress| {
        config.remote_at(address).map_or_else(|| address.to_string(), |(name, _)| name.to_string())
    };
    match line {
        Line::Online { again: false, after } => tracing::info!(after = %time(after), "online"),
        Line::Online { again: true, after } => tracing::info!(after = %time(after), "online again"),
        Line::Offline { why, after } => tracing::info!(after = %time(after), why, "offline"),
        Line::Found { remote, after: None } => tracing::info!(remote = %name(&remote), "remote reached"),
        Line::Found { remote, after: Some(after) } => {
            tracing::info!(remote = %name(&remote), after = %time(after), "remote found again");
        }
        Line::Lost { remote, why } => tracing::info!(remote = %name(&remote), why, "remote lost"),
        Line::Connected { client } => {
            let client =
                config.client_at(&client).map_or_else(|| client.to_string(), |(name, _)| name.to_string());
            tracing::info!(%client, "first connection");
        }
        Line::Began { what } => tracing::warn!(what, "problem"),
        Line::Ended { what } => tracing::info!(what, "problem solved"),
    }
}
