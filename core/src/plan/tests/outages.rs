//! When a service is published again after an outage.

use super::*;

/// A host with one client, whose service stands.
fn standing() -> (Desired, Observed, Moment) {
    let desired = Desired::from_config(&config([1]), today(), false);
    let (mut observed, mut now) = (ready(), NOW);
    settle(&desired, &mut observed, &mut now);
    introduced(&mut observed, 3, now);
    observed.health.report(Report::Uploaded(address(1)), now);
    (desired, observed, now)
}

#[test]
fn after_an_outage_a_service_without_an_introduction_point_is_given_to_tor_anew_within_a_second_or_two() {
    let (desired, mut observed, now) = standing();
    offline(&mut observed, now + seconds(100));
    introduced(&mut observed, 0, now + seconds(101));
    assert_eq!(plan(&desired, &observed, now + seconds(140)), Plan::default(), "nothing is burnt meanwhile");

    let back = now + seconds(141);
    observed.health.report(Report::Engine(EngineState::Ready), back);

    let due = plan(&desired, &observed, back).wake.expect("it is due by itself");
    assert!(due <= back + seconds(1), "{due:?}");
    let steps = plan(&desired, &observed, due).steps;
    assert!(matches!(steps.as_slice(), [Step::Replace(..)]), "its sessions go on: {steps:?}");
    execute(&mut observed, &steps, due);
    introduced(&mut observed, 0, due + seconds(1));
    assert_eq!(plan(&desired, &observed, due + seconds(2)).steps, [], "it is on its way");
    introduced(&mut observed, 2, due + seconds(3));
    assert_eq!(plan(&desired, &observed, due + seconds(100)), Plan::default());
}

#[test]
fn a_service_that_tor_has_mended_at_the_same_points_is_given_to_it_anew_after_an_outage_and_once() {
    let (desired, mut observed, now) = standing();
    offline(&mut observed, now + seconds(100));
    introduced(&mut observed, 0, now + seconds(100));
    let back = now + seconds(101);
    observed.health.report(Report::Engine(EngineState::Ready), back);
    // tor was quicker than we.
    introduced(&mut observed, 3, back + seconds(1));

    let steps = plan(&desired, &observed, back + seconds(2)).steps;
    assert!(matches!(steps.as_slice(), [Step::Replace(..)]), "importers pass these points by: {steps:?}");
    execute(&mut observed, &steps, back + seconds(2));
    introduced(&mut observed, 0, back + seconds(2));
    introduced(&mut observed, 3, back + seconds(4));
    assert_eq!(plan(&desired, &observed, back + seconds(100)), Plan::default());
}

#[test]
fn a_service_whose_points_lead_nowhere_is_given_to_tor_anew_at_once_and_then_more_seldom() {
    let (desired, mut observed, now) = standing();
    let mut given = Vec::new();
    for second in 100..1000 {
        let now = now + seconds(second);
        if second % 20 == 0 {
            // The engine was ready all the while, and tor holds them.
            assert!(observed.health.report(Report::IntroductionsDeserted, now), "it is to be planned for");
            introduced(&mut observed, 3, now);
        }
        let steps = plan(&desired, &observed, now).steps;
        if !steps.is_empty() {
            assert!(matches!(steps.as_slice(), [Step::Replace(..)]), "its sessions go on: {steps:?}");
            execute(&mut observed, &steps, now);
            introduced(&mut observed, 3, now);
            given.push(second);
        }
    }
    assert!(given[0] <= 101, "{given:?}");
    assert!(given.windows(2).all(|pair| pair[1] - pair[0] >= 15), "{given:?}");
    let waits: Vec<_> = given.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[5..].iter().all(|wait| (30..=40).contains(wait)), "{given:?}");
}

#[test]
fn a_service_whose_points_fell_for_a_moment_is_left_to_tor() {
    let (desired, mut observed, now) = standing();
    introduced(&mut observed, 0, now + seconds(100));
    introduced(&mut observed, 3, now + seconds(101));
    assert_eq!(plan(&desired, &observed, now + seconds(200)), Plan::default());
}

#[test]
fn a_service_that_an_outage_has_not_harmed_is_left_alone() {
    let (desired, mut observed, now) = standing();
    offline(&mut observed, now + seconds(100));
    observed.health.report(Report::Engine(EngineState::Ready), now + seconds(140));
    assert_eq!(plan(&desired, &observed, now + seconds(200)), Plan::default());
}

#[test]
fn a_service_that_never_stands_is_given_to_tor_ever_more_seldom() {
    let (desired, mut observed, now) = standing();
    let mut given = Vec::new();
    for second in 0..3600 {
        let now = now + seconds(second);
        introduced(&mut observed, 0, now);
        let steps = plan(&desired, &observed, now).steps;
        if !steps.is_empty() {
            assert!(matches!(steps.as_slice(), [Step::Replace(..)]), "{steps:?}");
            execute(&mut observed, &steps, now);
            given.push(second);
        }
    }
    assert!((12..18).contains(&given.len()), "{given:?}");
    assert!((15..18).contains(&given[0]), "tor is given time to mend it: {given:?}");
}
