//! The channel by which other rooms report to `plan::health`: each report with its time.

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::plan::health::Report;

/// Where reports go. Clones lead to the same place.
#[derive(Debug, Clone)]
pub struct Reports(mpsc::UnboundedSender<(Instant, Report)>);

/// What was reported, in order.
pub type Reported = mpsc::UnboundedReceiver<(Instant, Report)>;

impl Reports {
    /// A way, and its end.
    pub fn new() -> (Self, Reported) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// For who has nobody to report to.
    pub fn nowhere() -> Self {
        Self::new().0
    }

    /// Reports something that was just learnt.
    pub fn tell(&self, report: Report) {
        // Nobody listens any more when the agent ends.
        let _ = self.0.send((Instant::now(), report));
    }
}
