//! A stream: both directions, and how far the other end knows of it.

use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::words::LinkId;

/// Whether the other end knows of a stream. Its bytes must not come before it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// The opening was not sent yet, or was lost.
    No,
    /// It is on its way on this link: what follows it there comes behind it.
    SoonOn(LinkId),
    /// It does.
    Yes,
}

/// See the file's sentence.
#[derive(Debug)]
pub(super) struct Stream {
    /// See [`Known`].
    pub(super) known: Known,
    /// The link that its opening went over first, before the exporter had answered at all.
    pub(super) shown_on: Option<LinkId>,
    /// Whether the exporter's backend has taken it.
    pub(super) is_accepted: bool,
    /// What this side writes.
    pub(super) outgoing: Outgoing,
    /// What this side reads.
    pub(super) incoming: Incoming,
    /// Whether credit for it waits to be sent already.
    pub(super) credit_waits: bool,
}

impl Stream {
    /// One that nothing was said of.
    pub(super) fn new(known: Known, is_accepted: bool) -> Self {
        Self {
            known,
            shown_on: None,
            is_accepted,
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            credit_waits: false,
        }
    }

    /// Whether its bytes may go over this link.
    pub(super) fn may_go_on(&self, link: LinkId) -> bool {
        self.known == Known::Yes || self.known == Known::SoonOn(link)
    }

    /// Whether both directions have ended and all was read.
    pub(super) fn is_done(&self) -> bool {
        self.outgoing.is_done() && self.incoming.is_done()
    }

    /// Whether it needs nothing more of the other end: what is left is to be read here.
    pub(super) fn needs_no_link(&self) -> bool {
        self.outgoing.is_done() && self.incoming.is_whole()
    }
}
