//! Questions to the loop, which alone knows the whole state. Each is answered from one moment's state.

use tokio::sync::{mpsc, oneshot};

use crate::model::problem::Problem;
use crate::plan::derive::View;

/// Something that is to be answered out of what is known, and of the problems that stand.
pub(super) type Question = Box<dyn FnOnce(&View<'_>, &[Problem]) + Send>;

/// Where the loop is asked.
pub(super) struct Known(pub(super) mpsc::UnboundedSender<Question>);

impl Known {
    /// Has the loop answer; none when it is over.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        look: impl FnOnce(&View<'_>, &[Problem]) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, told) = oneshot::channel();
        let question: Question = Box::new(move |view, standing| drop(answer.send(look(view, standing))));
        // A loop that is over drops the question.
        let _ = self.0.send(question);
        told.await.ok()
    }
}
