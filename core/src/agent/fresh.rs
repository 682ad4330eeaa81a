//! New keys, from the system's randomness, and today's date: the two things that commands take from outside.

use std::time::{SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use crate::model::day::Day;
use crate::model::keys::{ClientKey, ServiceKey};
use crate::model::problem::{Problem, ProblemKind};

fn random() -> Result<Zeroizing<[u8; 32]>, Problem> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice())
        .map_err(|error| Problem::new(ProblemKind::Failed, format!("failed to get random bytes: {error}")))?;
    Ok(bytes)
}

/// A new service's key.
pub(super) fn service_key() -> Result<ServiceKey, Problem> {
    Ok(ServiceKey::from_seed(&random()?))
}

/// A new client's key.
pub(super) fn client_key() -> Result<ClientKey, Problem> {
    ClientKey::from_bytes(random()?.as_slice())
        .map_err(|error| Problem::new(ProblemKind::Failed, format!("failed to make a key: {error}")))
}

/// Seconds since 1970-01-01 UTC.
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Today, in UTC.
pub(super) fn today() -> Day {
    Day::from_unix(unix_now())
}
