//! Room 2, brain: compares Desired with Observed and decides the next Steps. Pure: no clock, no IO; time is an input.
//!
//! Desired comes from the configuration, Observed from what came of earlier Steps; [`plan`] gives Steps, removals first.

pub mod adopt;
pub mod backoff;
pub mod chronicle;
pub mod derive;
mod desired;
pub mod findings;
pub mod given;
pub mod health;
mod observed;
mod same;
pub mod sleep;
pub mod standing;
mod step;
#[cfg(test)]
mod tests;
pub mod verdicts;
pub mod vigil;
pub mod waiting;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::address::Port;
use crate::model::onion::OnionAddress;

pub use backoff::Moment;
pub use desired::{Behind, Desired, Door, Listener, Service, Socks};
pub use observed::{Observed, Published, Socket};
pub use step::{Step, Subject};

/// How many services may be on their way to the directories at once. Twenty at once stall tor (circuit-pending cap); ten don't.
const PUBLISHING_AT_ONCE: usize = 10;
/// Between two publications once that many are on their way.
const PUBLISH_PACE: Duration = Duration::from_millis(500);
/// Changed port lists wait this long for more of them, since each costs a new descriptor.
const REPLACE_DEBOUNCE: Duration = Duration::from_secs(1);

/// What to do now, and when to ask again at the latest if nothing happens first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// In order: removals, then additions.
    pub steps: Vec<Step>,
    /// When something waits for time alone.
    pub wake: Option<Moment>,
}

impl Plan {
    fn wake_at(&mut self, moment: Moment) {
        self.wake = Some(self.wake.map_or(moment, |wake| wake.min(moment)));
    }
}

/// Compares what is wanted with what is.
pub fn plan(desired: &Desired, observed: &Observed, now: Moment) -> Plan {
    let mut plan = Plan::default();
    remove(&mut plan, desired, observed, now);
    add_gates(&mut plan, desired, observed, now);
    add_listeners(&mut plan, desired, observed, now);
    if observed.health.is_ready() {
        add_services(&mut plan, desired, observed, now);
        add_keys(&mut plan, desired, observed, now);
    }
    plan
}

/// Nothing here waits: whoever may not come in is kept out now. Only what tor refused is retried after a while.
fn remove(plan: &mut Plan, desired: &Desired, observed: &Observed, now: Moment) {
    for (listen, open) in &observed.listeners {
        if !desired.listeners.get(listen).is_some_and(|wanted| wanted.is_as(open)) {
            plan.steps.push(Step::CloseListener(listen.clone()));
        }
    }
    if observed.socks.is_some() && observed.socks != desired.socks {
        plan.steps.push(Step::CloseSocks);
    }
    for ((address, port), door) in &observed.gates {
        let wanted = desired.services.get(address).and_then(|service| service.door(port));
        if wanted.as_ref() != Some(door) {
            plan.steps.push(Step::CloseGate(*address, *port));
        }
    }
    for (address, published) in &observed.published {
        let is_wanted = desired.services.get(address).is_some_and(|service| service.key == published.key);
        if !is_wanted && !waits(plan, observed, &Subject::Withdrawal(*address), now) {
            plan.steps.push(Step::Withdraw(*address));
        }
    }
    for (address, key) in &observed.keys {
        let is_wanted = desired.remotes.get(address) == Some(key);
        if !is_wanted && !waits(plan, observed, &Subject::KeyRemoval(*address), now) {
            plan.steps.push(Step::RemoveKey(*address));
        }
    }
}

fn add_gates(plan: &mut Plan, desired: &Desired, observed: &Observed, now: Moment) {
    for (address, service) in &desired.services {
        if is_anothers(observed, address, service) || waits(plan, observed, &Subject::Service(*address), now)
        {
            continue;
        }
        for (port, door) in service.ports.keys().filter_map(|port| Some((port, service.door(port)?))) {
            let is_gone = observed.gone.contains(&Socket::Gate(*address, *port));
            if is_gone || observed.gates.get(&(*address, *port)) != Some(&door) {
                plan.steps.push(Step::OpenGate(*address, *port, service.client.clone(), door));
            }
        }
    }
}

fn add_listeners(plan: &mut Plan, desired: &Desired, observed: &Observed, now: Moment) {
    for (listen, listener) in &desired.listeners {
        let open = observed.listeners.get(listen).is_some_and(|open| open.is_as(listener))
            && !observed.gone.contains(&Socket::Listener(listen.clone()));
        if !open && !waits(plan, observed, &Subject::Listener(listen.clone()), now) {
            plan.steps.push(Step::OpenListener(listen.clone(), listener.clone()));
        }
    }
    if let Some(socks) = desired.socks
        && observed.socks != Some(socks)
        && !waits(plan, observed, &Subject::Socks, now)
    {
        plan.steps.push(Step::OpenSocks(socks));
    }
}

/// At most one service is handed over in a plan once many are on their way; who was seen last comes first.
fn add_services(plan: &mut Plan, desired: &Desired, observed: &Observed, now: Moment) {
    let mut waiting = Vec::new();
    for (address, service) in &desired.services {
        let renewal = observed
            .published
            .get(address)
            .and_then(|published| observed.health.renewal_due(address, published.at));
        match renewal {
            _ if !is_up(desired, observed, address) => waiting.push((address, service)),
            Some(due) if due <= now => waiting.push((address, service)),
            Some(due) => plan.wake_at(due),
            None => {}
        }
    }
    waiting.sort_by_key(|(address, _)| std::cmp::Reverse(observed.last_seen.get(*address)));
    let is_on_its_way = |(address, published): &(&OnionAddress, &Published)| {
        !published.ports.is_empty() && !observed.health.is_uploaded(address)
    };
    let mut on_their_way = observed.published.iter().filter(is_on_its_way).count();
    let mut last = observed.last_publish;
    for (address, service) in waiting {
        if is_anothers(observed, address, service) || waits(plan, observed, &Subject::Service(*address), now)
        {
            continue;
        }
        let ports: BTreeSet<Port> = service.ports.keys().copied().collect();
        let ready_at = match observed.published.get(address) {
            Some(published) if published.key == service.key => {
                let settled = published.at + REPLACE_DEBOUNCE;
                let paced = if on_their_way >= PUBLISHING_AT_ONCE {
                    last.map(|last| last + PUBLISH_PACE)
                } else {
                    None
                };
                paced.map_or(settled, |paced| paced.max(settled))
            }
            _ if on_their_way >= PUBLISHING_AT_ONCE => last.map_or(now, |last| last + PUBLISH_PACE),
            _ => now,
        };
        if ready_at > now {
            plan.wake_at(ready_at);
            continue;
        }
        plan.steps.push(match observed.published.get(address) {
            Some(published) if published.key == service.key => Step::Replace(*address, service.key, ports),
            _ => Step::Publish(*address, service.key, ports),
        });
        on_their_way += 1;
        last = Some(now);
    }
}

/// Whether tor may have the service for another key still. Whoever has that one would come in by the gates of the new one, so none is
/// opened before tor has taken it down.
fn is_anothers(observed: &Observed, address: &OnionAddress, service: &Service) -> bool {
    observed.published.get(address).is_some_and(|published| published.key != service.key)
}

/// Whether tor has a service as it is wanted.
pub fn is_up(desired: &Desired, observed: &Observed, address: &OnionAddress) -> bool {
    let (Some(service), Some(published)) = (desired.services.get(address), observed.published.get(address))
    else {
        return false;
    };
    published.key == service.key && published.ports.iter().eq(service.ports.keys())
}

fn add_keys(plan: &mut Plan, desired: &Desired, observed: &Observed, now: Moment) {
    for (address, key) in &desired.remotes {
        if observed.keys.get(address) != Some(key) && !waits(plan, observed, &Subject::Key(*address), now) {
            plan.steps.push(Step::AddKey(*address, *key));
        }
    }
}

/// Whether a subject is in backoff; then the plan wakes at its end.
fn waits(plan: &mut Plan, observed: &Observed, subject: &Subject, now: Moment) -> bool {
    match observed.failures.get(subject).map(|backoff| backoff.retry_at) {
        Some(at) if at > now => {
            plan.wake_at(at);
            true
        }
        _ => false,
    }
}
