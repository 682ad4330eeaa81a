//! Puts together, from what the loop knows, what status and doctor are derived from. It decides nothing: that is `plan::derive`.

use super::fresh;
use super::reconcile::Reconciler;
use crate::model::problem::Problem;
use crate::model::status::Status;
use crate::plan::Desired;
use crate::plan::derive::{self, View};
use crate::plan::standing;

/// Something that is to be answered out of what is known at this moment, and of the problems that stand.
pub(super) type Question = Box<dyn FnOnce(&View<'_>, &[Problem]) + Send>;

impl Reconciler {
    /// Finds out which problems stand, and notes when those that are new began.
    pub(super) fn take_stock(&mut self) {
        let found = self.with_view(|view, _| derive::problems(view));
        self.standing = standing::after(&self.standing, found, self.about.calendar.now());
    }

    /// The whole state, as it is now.
    pub(super) fn status(&mut self) -> Status {
        self.take_stock();
        self.with_view(derive::status)
    }

    /// Answers a question.
    pub(super) fn answer(&mut self, question: Question) {
        self.take_stock();
        self.with_view(question);
    }

    fn with_view<T>(&self, look: impl FnOnce(&View<'_>, &[Problem]) -> T) -> T {
        let in_force = self.inputs.config.borrow().clone();
        let is_paused = *self.inputs.paused.borrow();
        let today = fresh::today(&self.about.calendar);
        let desired = Desired::from_config(&in_force.config, today, is_paused);
        let here = self.vault.history_problem().into_iter().chain(self.executor.trouble(&in_force.config));
        let view = View {
            config: &in_force.config,
            is_paused,
            desired: &desired,
            observed: &self.observed,
            process: &self.about.process,
            now: self.about.started.elapsed(),
            unix: self.about.calendar.now(),
            clients: self.executor.client_traffic(),
            imports: self.executor.import_traffic(),
            configuration: in_force.problems().collect(),
            here: here.collect(),
        };
        look(&view, &self.standing)
    }
}
