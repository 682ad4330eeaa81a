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

#[cfg(test)]
mod tests {
    use super::super::bench::{address, config, logged};
    use super::*;

    #[test]
    fn each_change_is_one_line_with_its_times_and_the_name_of_its_remote() {
        let remote = address(1);
        let key = super::super::bench::client_key(1).public();
        let config = config(&format!("[remote.website]\naddress = \"{remote}\"\nkey = \"{key}\"\n"));
        let (soon, later) = (Duration::from_millis(340), Duration::from_secs(95));
        let lines = [
            Line::Online { again: false, after: soon },
            Line::Online { again: true, after: later },
            Line::Offline { why: "no network".into(), after: later },
            Line::Found { remote, after: None },
            Line::Found { remote, after: Some(soon) },
            Line::Lost { remote: address(2), why: "gone".into() },
        ];

        let said = lines.map(|line| logged(|| write(&config, line)));

        let second = format!("remote lost remote={} why=\"gone\"", address(2));
        let expected = [
            "online after=340 ms",
            "online again after=1m 35s",
            "offline after=1m 35s why=\"no network\"",
            "remote reached remote=website",
            "remote found again remote=website after=340 ms",
            &second,
        ];
        assert_eq!(said.map(|lines| lines.join("|")), expected);
    }
}
