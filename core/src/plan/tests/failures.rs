//! Failed Steps: when they are retried, and what tor may still have meanwhile.

use super::*;

#[test]
fn what_failed_waits_and_nothing_else_does() {
    let desired = Desired::from_config(&config([1, 2]), today(), false);
    let mut observed = Observed { socks: desired.socks, ..ready() };
    let problem = Problem::new(Code::TorFailed, "no");
    let backoff = Backoff::after(None, problem.clone(), NOW);
    assert!(Backoff::after(Some(&backoff), problem, NOW).retry_at > backoff.retry_at);
    observed.failures.insert(Subject::Service(address(1)), backoff.clone());
    let plan = plan(&desired, &observed, NOW);
    assert!(plan.steps.iter().all(|step| step.subject() == Subject::Service(address(2))), "{plan:?}");
    assert_eq!(plan.wake, Some(backoff.retry_at));
}

#[test]
fn a_service_that_could_not_be_withdrawn_is_withdrawn_again_after_a_while() {
    let mut now = NOW;
    let desired = Desired::from_config(&config([1]), today(), false);
    let mut observed = ready();
    settle(&desired, &mut observed, &mut now);
    let gone = Desired { socks: desired.socks, ..Desired::default() };

    let first = plan(&gone, &observed, now);
    execute_in_vain(&mut observed, &first.steps, now);

    assert!(observed.gates.is_empty(), "nobody comes in meanwhile");
    let second = plan(&gone, &observed, now);
    assert_eq!(second.steps, [], "it is not tried at once");
    let later = plan(&gone, &observed, second.wake.unwrap());
    assert_eq!(later.steps, [Step::Withdraw(address(1))]);
    execute(&mut observed, &later.steps, second.wake.unwrap());
    assert!(observed.published.is_empty() && observed.failures.is_empty());
}

#[test]
fn a_key_that_tor_does_not_forget_is_removed_again_unless_tor_ends() {
    let mut observed = ready();
    observed.keys.insert(address(1), key(1));
    let first = plan(&Desired::default(), &observed, NOW);
    assert_eq!(first.steps, [Step::RemoveKey(address(1))]);

    execute_in_vain(&mut observed, &first.steps, NOW);

    let second = plan(&Desired::default(), &observed, NOW);
    assert_eq!(second.steps, []);
    assert_eq!(plan(&Desired::default(), &observed, second.wake.unwrap()).steps, first.steps);
    observed.lost(NOW);
    observed.health.report(Report::Engine(EngineState::Ready), NOW);
    assert_eq!(plan(&Desired::default(), &observed, NOW), Plan::default());
    assert!(observed.failures.is_empty());
}

#[test]
fn what_tor_may_have_is_replaced_or_withdrawn_and_never_taken_for_absent() {
    let desired = Desired::from_config(&config([1]), today(), false);
    let mut observed = Observed { socks: desired.socks, ..ready() };
    let first = plan(&desired, &observed, NOW);
    execute_in_vain(&mut observed, &first.steps, NOW);
    assert!(!is_up(&desired, &observed, &address(1)));

    let mut now = NOW;
    let mut again = plan(&desired, &observed, now);
    while again.steps.is_empty() {
        now = again.wake.unwrap();
        again = plan(&desired, &observed, now);
    }
    assert!(matches!(again.steps.as_slice(), [Step::Replace(..)]), "{again:?}");
    let gone = Desired { socks: desired.socks, ..Desired::default() };
    assert_eq!(plan(&gone, &observed, now).steps.last(), Some(&Step::Withdraw(address(1))));
}

#[test]
fn what_failed_is_tried_again_within_its_longest_pause_however_often_it_failed() {
    let again = |code| {
        let mut backoff: Option<Backoff> = None;
        let pauses = (1..=40).map(|_| {
            let next = Backoff::after(backoff.as_ref(), Problem::new(code, "no"), NOW);
            let pause = next.retry_at - NOW;
            backoff = Some(next);
            pause
        });
        pauses.collect::<Vec<_>>()
    };
    for (code, first, longest) in [(Code::TorFailed, 500, 4_000), (Code::StoreLocked, 4_000, 60_000)] {
        let pauses = again(code);
        assert!(pauses.is_sorted());
        assert_eq!(pauses[0], Duration::from_millis(first));
        assert_eq!(pauses[1], Duration::from_millis(2 * first));
        assert_eq!(pauses[39], Duration::from_millis(longest));
    }
}

#[test]
fn what_a_locked_store_kept_from_being_done_is_due_once_it_answers() {
    let mut observed = ready();
    for (n, code) in [(1, Code::StoreLocked), (2, Code::TorFailed), (3, Code::KeyMissing)] {
        let backoff = Backoff::after(None, Problem::new(code, "no"), NOW);
        observed.failures.insert(Subject::Key(address(n)), backoff);
    }

    observed.store_answers(NOW);

    let is_due = |n| observed.failures[&Subject::Key(address(n))].retry_at == NOW;
    assert_eq!([1, 2, 3].map(is_due), [true, false, false]);
}

#[test]
fn what_is_in_backoff_waits_to_its_end_and_no_longer() {
    let desired = Desired { remotes: [(address(7), key(7))].into(), ..Desired::default() };
    let mut observed = ready();
    let backoff = Backoff::after(None, Problem::new(Code::TorFailed, "no"), NOW);
    let end = backoff.retry_at;
    observed.failures.insert(Subject::Key(address(7)), backoff);
    let waits = plan(&desired, &observed, end - Duration::from_millis(1));
    assert_eq!(waits, Plan { steps: vec![], wake: Some(end) });
    assert_eq!(plan(&desired, &observed, end).steps.len(), 1);
}

#[test]
fn what_nobody_wants_any_more_has_no_failure_to_tell_of() {
    let desired = Desired::from_config(&config([1]), today(), false);
    let mut observed = ready();
    observed.published.insert(address(3), Published { key: key(3), ports: BTreeSet::new(), at: NOW });
    let backoff = Backoff::after(None, Problem::new(Code::TorFailed, "no"), NOW);
    let wanted = [Subject::Service(address(1)), Subject::Withdrawal(address(3)), Subject::Socks];
    let unwanted = [
        Subject::Service(address(2)),
        Subject::Withdrawal(address(1)),
        Subject::Key(address(1)),
        Subject::KeyRemoval(address(1)),
        Subject::Listener("127.0.0.1:5000".parse().unwrap()),
    ];
    for subject in wanted.iter().chain(&unwanted) {
        observed.failures.insert(subject.clone(), backoff.clone());
    }
    observed.forget_unwanted(&desired);
    assert_eq!(observed.failures.keys().cloned().collect::<BTreeSet<_>>(), wanted.into());
}
