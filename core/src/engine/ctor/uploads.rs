//! Follows descriptors (pure): whether directories accepted ours, and whether others could be fetched.

use std::collections::{BTreeMap, BTreeSet};

use super::events::Descriptor;
use crate::engine::EngineEvent;
use crate::engine::ServiceSurvey;
use crate::model::onion::OnionAddress;

/// Follows the descriptors of our own services: each goes to several directories, and only all of them failing is a failure.
#[derive(Debug, Default)]
pub(super) struct Uploads(BTreeMap<OnionAddress, Round>);

#[derive(Debug, Default)]
struct Round {
    pending: u32,
    /// Directories that took it. One may be given two descriptors: that of this time period and that of the next.
    confirmed: BTreeSet<String>,
    /// Why one did not, while none has.
    refused: Option<String>,
}

impl Uploads {
    /// Follows a service from now on.
    pub(super) fn add(&mut self, address: OnionAddress) {
        self.0.insert(address, Round::default());
    }

    /// Follows it no longer.
    pub(super) fn remove(&mut self, address: &OnionAddress) {
        self.0.remove(address);
    }

    /// The services that are followed.
    pub(super) fn addresses(&self) -> BTreeSet<OnionAddress> {
        self.0.keys().copied().collect()
    }

    /// What has become of the descriptors so far.
    pub(super) fn survey(&self) -> BTreeMap<OnionAddress, ServiceSurvey> {
        let service = |round: &Round| ServiceSurvey {
            confirmed: u32::try_from(round.confirmed.len()).unwrap_or(u32::MAX),
            refused: round.refused.clone(),
            introductions: 0,
        };
        self.0.iter().map(|(address, round)| (*address, service(round))).collect()
    }

    /// What to tell of this, if anything.
    pub(super) fn note(&mut self, address: OnionAddress, action: Descriptor) -> Option<EngineEvent> {
        let round = self.0.get_mut(&address);
        match (action, round) {
            (Descriptor::Upload, Some(round)) => {
                if round.pending == 0 {
                    *round = Round::default();
                }
                round.pending = round.pending.saturating_add(1);
                None
            }
            (Descriptor::Uploaded(directory), Some(round)) => {
                round.pending = round.pending.saturating_sub(1);
                // The first makes it findable, the last makes it findable everywhere; those between would only wake who listens.
                let is_news = round.confirmed.is_empty() || round.pending == 0;
                round.confirmed.insert(directory);
                round.refused = None;
                is_news.then_some(EngineEvent::Uploaded(address))
            }
            (Descriptor::Failed(reason), Some(round)) if reason == "UPLOAD_REJECTED" || round.pending > 0 => {
                round.pending = round.pending.saturating_sub(1);
                if !round.confirmed.is_empty() {
                    return None;
                }
                round.refused = Some(reason.clone());
                (round.pending == 0).then_some(EngineEvent::UploadFailed(address, reason))
            }
            (Descriptor::Upload | Descriptor::Uploaded(_), None) => None,
            (Descriptor::Received, _) => Some(EngineEvent::Received(address)),
            (Descriptor::Failed(reason), _) => Some(EngineEvent::FetchFailed(address, reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> OnionAddress {
        "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid".parse().unwrap()
    }

    fn uploaded(directory: &str) -> Descriptor {
        Descriptor::Uploaded(directory.to_owned())
    }

    #[test]
    fn an_upload_failed_only_when_every_directory_failed() {
        let mut uploads = Uploads::default();
        let failed = || Descriptor::Failed("UPLOAD_REJECTED".to_owned());
        uploads.add(address());
        let mut note = |action| uploads.note(address(), action);

        note(Descriptor::Upload);
        note(Descriptor::Upload);
        note(Descriptor::Upload);
        assert_eq!(note(failed()), None);
        assert_eq!(note(uploaded("$AB")), Some(EngineEvent::Uploaded(address())));
        assert_eq!(note(failed()), None);

        note(Descriptor::Upload);
        note(Descriptor::Upload);
        assert_eq!(note(failed()), None);
        assert_eq!(note(failed()), Some(EngineEvent::UploadFailed(address(), "UPLOAD_REJECTED".to_owned())));
    }

    #[test]
    fn the_first_and_the_last_upload_are_told() {
        let mut uploads = Uploads::default();
        uploads.add(address());
        for _ in 0..3 {
            uploads.note(address(), Descriptor::Upload);
        }

        let told: Vec<_> = (0..3).map(|_| uploads.note(address(), uploaded("$AB")).is_some()).collect();

        assert_eq!(told, [true, false, true]);
    }

    #[test]
    fn directories_are_counted_once_in_each_round() {
        let mut uploads = Uploads::default();
        uploads.add(address());
        let survey = |uploads: &Uploads| uploads.survey().remove(&address()).unwrap();
        for directory in ["$A", "$B", "$A"] {
            uploads.note(address(), Descriptor::Upload);
            uploads.note(address(), Descriptor::Upload);
            uploads.note(address(), uploaded(directory));
        }
        assert_eq!(survey(&uploads).confirmed, 2);

        uploads.add(address());
        uploads.note(address(), Descriptor::Upload);
        uploads.note(address(), Descriptor::Failed("UPLOAD_REJECTED".to_owned()));
        assert_eq!(
            (survey(&uploads).confirmed, survey(&uploads).refused.as_deref()),
            (0, Some("UPLOAD_REJECTED"))
        );

        uploads.note(address(), Descriptor::Upload);
        uploads.note(address(), uploaded("$A"));
        assert_eq!((survey(&uploads).confirmed, survey(&uploads).refused), (1, None));
    }

    #[test]
    fn what_concerns_others_is_a_fetch() {
        let mut uploads = Uploads::default();
        let failed = Descriptor::Failed("NOT_FOUND".to_owned());

        assert_eq!(uploads.note(address(), Descriptor::Received), Some(EngineEvent::Received(address())));
        assert_eq!(
            uploads.note(address(), failed.clone()),
            Some(EngineEvent::FetchFailed(address(), "NOT_FOUND".to_owned()))
        );
        assert_eq!(uploads.note(address(), uploaded("$AB")), None);
        uploads.add(address());
        uploads.remove(&address());
        assert_eq!(uploads.note(address(), uploaded("$AB")), None);
    }
}
