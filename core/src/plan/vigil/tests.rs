//! Tests of `vigil`: what is asked of a tor, and what is closed, as time goes by.

use super::*;

fn relay(number: u8) -> RelayId {
    format!("${number:040X}").parse().unwrap()
}

fn seconds(seconds: f64) -> Moment {
    Duration::from_secs_f64(seconds)
}

fn refused() -> Option<String> {
    Some("CONNECTREFUSED".to_owned())
}

/// Plays it as an engine does, whose looks find this, and gives what was done in that time.
fn play(vigil: &mut Vigil, from: f64, to: f64, look: &Look) -> Vec<Task> {
    let (mut now, mut done) = (seconds(from), Vec::new());
    while now < seconds(to) {
        let task = vigil.task(now);
        match &task {
            Task::Look => {
                vigil.looks(now);
                vigil.found(look, now);
            }
            Task::Probe(_) => vigil.began(Begun::Failed, now),
            Task::Close(_) => {}
            Task::Wait(until) => {
                now = until.unwrap_or(seconds(to));
                continue;
            }
        }
        done.push(task);
    }
    done
}

#[test]
fn nothing_is_asked_while_nobody_looks_and_nothing_is_used_or_offered() {
    let mut vigil = Vigil::default();
    vigil.link(Link::Up(1, relay(1)), seconds(1.0));
    vigil.used(seconds(2.0));

    assert!(!play(&mut vigil, 2.0, 15.0, &Look::default()).is_empty());
    assert_eq!(vigil.task(seconds(15.0)), Task::Wait(None));
    // tor closes what it does not need.
    vigil.link(Link::Down(1, None), seconds(200.0));
    assert_eq!(vigil.task(seconds(201.0)), Task::Wait(None));
    assert_eq!(vigil.offline(seconds(300.0)), None);
}

#[test]
fn a_service_costs_six_questions_a_minute() {
    let mut vigil = Vigil::default();
    vigil.link(Link::Up(1, relay(1)), seconds(0.0));
    vigil.services(true, seconds(0.0));
    let look = Look { relays: vec![relay(1)], ..Look::default() };
    play(&mut vigil, 0.0, 60.0, &look);

    let asked = play(&mut vigil, 60.0, 120.0, &look);

    assert_eq!(asked, vec![Task::Look; 6]);
}

#[test]
fn the_end_of_every_connection_is_the_networks_end_and_it_is_tried_until_it_is_back() {
    let mut vigil = Vigil::default();
    vigil.link(Link::Up(1, relay(1)), seconds(0.0));
    vigil.link(Link::Up(2, relay(2)), seconds(0.0));
    vigil.link(Link::Down(1, refused()), seconds(10.0));
    assert_eq!(vigil.offline(seconds(20.0)), None, "one stands");
    assert!(!vigil.take_fell(), "one stands");
    vigil.link(Link::Down(2, refused()), seconds(20.0));
    assert!(vigil.take_fell());
    assert!(!vigil.take_fell(), "it is told once");
    assert!(!vigil.take_deserted(), "tor has no circuit that leads nowhere");
    assert_eq!(vigil.offline(seconds(21.0)), None, "tor may have another at once");
    assert_eq!(vigil.offline(seconds(21.5)), Some("CONNECTREFUSED"));

    let tried = play(&mut vigil, 20.0, 50.0, &Look::default());
    let tried: Vec<_> = tried.into_iter().filter(|task| matches!(task, Task::Probe(_))).collect();

    assert!((6..10).contains(&tried.len()), "{tried:?}");
    assert!(tried.contains(&Task::Probe(relay(1))) && tried.contains(&Task::Probe(relay(2))));
    // Each twice, and then the other one.
    assert!(tried[0] == tried[1] && tried[1] != tried[2] && tried[2] == tried[3] && tried[4] == tried[0]);
    vigil.link(Link::Up(3, relay(2)), seconds(50.0));
    assert_eq!(vigil.offline(seconds(60.0)), None);
}

/// Plays it while somebody looks, until each question was answered so, and gives the relays that were asked and when that was over.
fn answer(vigil: &mut Vigil, from: f64, answers: &[Begun]) -> (Vec<RelayId>, f64) {
    let (mut now, mut asked) = (seconds(from), Vec::new());
    while asked.len() < answers.len() {
        assert!(now < seconds(from + 600.0), "nobody is asked");
        vigil.watched(now);
        match vigil.task(now) {
            Task::Look => {
                vigil.looks(now);
                vigil.found(&Look::default(), now);
            }
            Task::Probe(relay) => {
                vigil.began(answers[asked.len()], now);
                asked.push(relay);
            }
            Task::Close(_) => {}
            Task::Wait(until) => now = until.expect("somebody looks"),
        }
    }
    (asked, now.as_secs_f64())
}

#[test]
fn three_questions_in_a_row_that_can_not_be_asked_are_an_outage_and_two_are_not() {
    const TWO: [Begun; 2] = [Begun::Failed; 2];
    // However they end: a circuit that is gone at the next look was built by nobody.
    for failed in [Begun::Failed, Begun::Circuit(7)] {
        let mut vigil = closed_in_order(true);
        let (asked, now) = answer(&mut vigil, 50.0, &[failed; 2]);
        assert_eq!(vigil.offline(seconds(now + 3.0)), None, "{failed:?}");
        let (more, now) = answer(&mut vigil, now, &[failed, Begun::Unanswered]);
        assert_eq!(vigil.offline(seconds(now + 3.0)), Some(UNANSWERED), "{failed:?} {asked:?} {more:?}");
    }
    // A connection in between shows that there is a network, and so does an answer.
    let mut vigil = closed_in_order(true);
    let (_, now) = answer(&mut vigil, 50.0, &TWO);
    vigil.link(Link::Up(3, relay(1)), seconds(now));
    vigil.link(Link::Down(3, None), seconds(now));
    let (_, now) = answer(&mut vigil, now, &TWO);
    assert_eq!(vigil.offline(seconds(now + 3.0)), None);
    let (_, now) = answer(&mut vigil, now, &[Begun::Circuit(7)]);
    vigil.refused(7, seconds(now));
    let (_, now) = answer(&mut vigil, now, &TWO);
    assert_eq!(vigil.offline(seconds(now + 3.0)), None);
}

#[test]
fn a_relay_that_tor_does_not_know_for_now_is_asked_again_after_others() {
    let mut vigil = closed_in_order(true);
    let (asked, now) = answer(&mut vigil, 50.0, &[Begun::UnknownRelay; 4]);
    assert!(asked[0] != asked[1] && asked[0] == asked[2] && asked[1] == asked[3], "{asked:?}");
    // It is among those that are tried in an outage.
    vigil.link(Link::Down(9, refused()), seconds(now));
    let tried = play(&mut vigil, now, now + 20.0, &Look::default());
    assert!(asked[..2].iter().all(|relay| tried.contains(&Task::Probe(relay.clone()))), "{tried:?}");
    // Where it carries introductions, it keeps nobody from asking those that do as well.
    let circuit = |number, first| Circuit { number, first: relay(first), carries: Carries::Introductions };
    let look = Look {
        relays: vec![relay(1), relay(2)],
        circuits: vec![circuit(1, 1), circuit(2, 2)],
        ..Look::default()
    };
    let (mut vigil, mut now, mut asked) = (serving(), seconds(0.0), Vec::new());
    while now < seconds(60.0) {
        match vigil.task(now) {
            Task::Look => {
                vigil.looks(now);
                vigil.found(&look, now);
            }
            Task::Probe(relay) => {
                vigil.began(Begun::UnknownRelay, now);
                asked.push(relay);
            }
            Task::Close(_) => {}
            Task::Wait(until) => now = until.unwrap_or(seconds(60.0)),
        }
    }
    assert!(asked.contains(&relay(1)) && asked.contains(&relay(2)) && asked.len() < 20, "{asked:?}");
}

#[test]
fn of_two_relays_that_are_connected_one_that_tor_does_not_know_keeps_nobody_from_asking_the_other() {
    let mut vigil = Vigil::default();
    vigil.link(Link::Up(1, relay(1)), seconds(0.0));
    vigil.link(Link::Up(2, relay(2)), seconds(0.0));
    let look = Look { relays: vec![relay(1), relay(2)], ..Look::default() };
    let (mut now, mut asked) = (seconds(0.0), Vec::new());
    while now < seconds(30.0) {
        vigil.watched(now);
        match vigil.task(now) {
            Task::Look => {
                vigil.looks(now);
                vigil.found(&look, now);
            }
            Task::Probe(relay) => {
                vigil.began(Begun::UnknownRelay, now);
                asked.push(relay);
            }
            Task::Close(_) => {}
            Task::Wait(until) => now = until.expect("somebody looks"),
        }
    }
    assert!(asked.contains(&relay(1)) && asked.contains(&relay(2)), "{asked:?}");
}

#[test]
fn while_no_connection_stands_the_relay_that_was_used_last_is_asked_not_one_of_circuits_from_before() {
    let mut vigil = Vigil::default();
    vigil.link(Link::Up(1, relay(1)), seconds(0.0));
    let circuit = Circuit { number: 1, first: relay(9), carries: Carries::Other };
    let look = Look { relays: vec![relay(1)], circuits: vec![circuit], ..Look::default() };
    vigil.found(&look, seconds(1.0));
    vigil.link(Link::Down(1, None), seconds(50.0));
    vigil.watched(seconds(50.0));
    assert_eq!(vigil.task(seconds(50.0)), Task::Probe(relay(1)));
}

/// An idle tor whose relays have closed their connections in order, of which somebody looks at how it stands or which has services.
fn closed_in_order(is_watched: bool) -> Vigil {
    let mut vigil = Vigil::default();
    vigil.link(Link::Up(1, relay(2)), seconds(0.0));
    vigil.link(Link::Up(2, relay(1)), seconds(0.0));
    vigil.services(!is_watched, seconds(0.0));
    play(&mut vigil, 0.0, 50.0, &Look { relays: vec![relay(1), relay(2)], ..Look::default() });
    vigil.link(Link::Down(1, None), seconds(50.0));
    vigil.link(Link::Down(2, None), seconds(50.0));
    if is_watched {
        vigil.watched(seconds(50.0));
    }
    assert_eq!(vigil.offline(seconds(50.0)), None, "tor may not need one");
    vigil
}

#[test]
fn a_network_whose_connections_ended_in_order_is_gone_once_no_relay_can_be_asked() {
    // Three questions two seconds apart, or ten.
    for (is_watched, soon) in [(true, 8.0), (false, 24.0)] {
        let mut vigil = closed_in_order(is_watched);

        let asked = play(&mut vigil, 50.0, 50.0 + soon, &Look::default());

        for number in [1, 2] {
            assert!(asked.contains(&Task::Probe(relay(number))), "{asked:?}");
        }
        assert_eq!(vigil.offline(seconds(50.0 + soon)), Some(UNANSWERED), "{is_watched}");
        vigil.link(Link::Up(3, relay(1)), seconds(80.0));
        assert_eq!(vigil.offline(seconds(80.0)), None);
    }
}

#[test]
fn a_relay_that_is_gone_slow_or_unknown_is_no_reason_to_be_offline() {
    for begun in [Begun::Circuit(7), Begun::UnknownRelay, Begun::Unanswered] {
        let mut vigil = closed_in_order(true);
        let mut now = seconds(50.0);
        let mut asked = Vec::new();
        while now < seconds(75.0) {
            vigil.watched(now);
            match vigil.task(now) {
                Task::Look => {
                    vigil.looks(now);
                    vigil.found(&Look { under_way: vec![7], ..Look::default() }, now);
                }
                Task::Probe(relay) => {
                    asked.push(relay);
                    vigil.began(begun, now);
                }
                Task::Close(_) => {}
                Task::Wait(until) => now = until.unwrap_or(seconds(75.0)),
            }
        }
        assert!(
            asked.contains(&relay(1)) && asked.contains(&relay(2)) || begun == Begun::Unanswered,
            "{asked:?}"
        );
        assert_eq!(vigil.offline(seconds(75.0)), None, "{begun:?}");
    }
}

#[test]
fn what_only_a_look_has_found_is_no_connection_beside_the_one_that_it_was() {
    let mut vigil = Vigil::default();
    vigil.found(&Look { relays: vec![relay(1)], ..Look::default() }, seconds(0.0));
    vigil.link(Link::Up(7, relay(1)), seconds(0.0));
    vigil.link(Link::Down(7, refused()), seconds(10.0));
    assert_eq!(vigil.offline(seconds(12.0)), Some("CONNECTREFUSED"));

    let mut vigil = Vigil::default();
    vigil.found(&Look { relays: vec![relay(1)], ..Look::default() }, seconds(0.0));
    vigil.link(Link::Up(7, relay(2)), seconds(0.0));
    vigil.link(Link::Down(7, refused()), seconds(10.0));
    assert_eq!(vigil.offline(seconds(12.0)), None, "it is another one, and stands");

    // It is gone by the next look, or has its number by then: the end of all others is the network's.
    for look in [vec![relay(2)], vec![relay(1), relay(2)]] {
        let mut vigil = Vigil::default();
        vigil.found(&Look { relays: vec![relay(1)], ..Look::default() }, seconds(0.0));
        vigil.link(Link::Up(7, relay(2)), seconds(0.0));
        let both_known = look.len() == 2;
        vigil.found(&Look { relays: look, ..Look::default() }, seconds(1.0));
        if both_known {
            vigil.link(Link::Up(8, relay(1)), seconds(2.0));
            vigil.link(Link::Down(8, refused()), seconds(10.0));
        }
        vigil.link(Link::Down(7, refused()), seconds(10.0));
        assert_eq!(vigil.offline(seconds(12.0)), Some("CONNECTREFUSED"), "{both_known}");
        assert!(vigil.take_fell());
    }

    let mut vigil = Vigil::default();
    vigil.found(&Look { relays: vec![relay(1)], ..Look::default() }, seconds(0.0));
    vigil.found(&Look::default(), seconds(2.0));
    vigil.link(Link::Down(8, refused()), seconds(10.0));
    assert_eq!(vigil.offline(seconds(12.0)), Some("CONNECTREFUSED"));
}

#[test]
fn after_sleep_there_is_no_network_until_it_answers() {
    let (mut vigil, mut tor) = (serving(), Tor::new());
    tor.play(&mut vigil, 0.0, 101.0);
    vigil.woke(seconds(250.0));
    assert_eq!(vigil.offline(seconds(250.0)), Some(ASLEEP));

    tor.play(&mut vigil, 250.0, 253.0);

    assert_eq!(vigil.offline(seconds(253.0)), None);
    assert_eq!(
        (&*tor.closed, &*tor.renewed),
        (&[][..], &[][..]),
        "a network that answers was there all the while"
    );
}

#[test]
fn a_host_that_has_lost_an_address_is_offline_until_the_network_answers_and_that_over_new_circuits() {
    let (mut vigil, mut tor) = (serving(), Tor::new());
    tor.play(&mut vigil, 0.0, 101.0);
    // What is asked first goes over the old connection, all else over a new one.
    tor.silent_to = tor.next;
    vigil.moved(seconds(101.0));
    assert_eq!(vigil.offline(seconds(101.5)), None, "it may be an address that nothing uses");

    tor.play(&mut vigil, 101.0, 103.0);
    assert_eq!(vigil.offline(seconds(103.0)), Some(MOVED));
    tor.play(&mut vigil, 103.0, 109.0);

    assert_eq!(vigil.offline(seconds(109.0)), None);
    assert_eq!((tor.closed_numbers(), tor.renewed.len()), (vec![4], 1));
}

/// A host with a service, whose session and whose introductions enter the network by different relays.
fn entering_by_two() -> (Vigil, Look) {
    let circuit = |number, carries| Circuit { number, first: relay(number as u8), carries };
    let circuits = vec![circuit(1, Carries::Session), circuit(2, Carries::Introductions)];
    (serving(), Look { relays: vec![relay(1), relay(2)], circuits, ..Look::default() })
}

#[test]
fn of_relays_those_that_carry_introductions_are_asked_and_before_others() {
    let (mut vigil, look) = entering_by_two();
    play(&mut vigil, 0.0, 60.0, &look);
    let is_probe = |task: &Task| matches!(task, Task::Probe(_));
    let asked: Vec<_> = play(&mut vigil, 60.0, 120.0, &look).into_iter().filter(is_probe).collect();
    assert!(!asked.is_empty() && asked.iter().all(|task| *task == Task::Probe(relay(2))), "{asked:?}");

    vigil.moved(seconds(120.0));
    let first = play(&mut vigil, 120.0, 122.0, &look).into_iter().find(is_probe);
    assert_eq!(first, Some(Task::Probe(relay(2))));
}

#[test]
fn while_a_question_is_on_its_way_it_matters_which_circuits_are_closed() {
    let (mut vigil, mut tor) = (serving(), Tor::new());
    assert!(!vigil.is_probing());
    vigil.watched(seconds(1.0));
    tor.silent_to = u64::MAX;
    tor.play(&mut vigil, 1.0, 4.0);
    assert!(!tor.probes.is_empty() && vigil.is_probing());
}

#[test]
fn an_address_that_nothing_used_is_lost_without_a_word() {
    let (mut vigil, mut tor) = (serving(), Tor::new());
    tor.play(&mut vigil, 0.0, 101.0);
    let asked = tor.probes.len();

    vigil.moved(seconds(101.0));
    tor.play(&mut vigil, 101.0, 102.0);

    assert_eq!((tor.probes.len(), vigil.offline(seconds(110.0))), (asked + 1, None));
    assert_eq!((&*tor.closed, &*tor.renewed), (&[][..], &[][..]));
    // One without connections has none to lose.
    let mut alone = Vigil::default();
    alone.moved(seconds(5.0));
    assert_eq!((alone.task(seconds(6.0)), alone.offline(seconds(60.0))), (Task::Wait(None), None));
}

#[test]
fn a_host_without_connections_sleeps_on() {
    let mut vigil = Vigil::default();
    vigil.woke(seconds(250.0));
    assert_eq!(vigil.offline(seconds(251.0)), None);
    assert_eq!(vigil.task(seconds(251.0)), Task::Wait(None));
}

#[test]
fn who_looks_has_the_network_proven_every_two_seconds() {
    let mut vigil = Vigil::default();
    vigil.link(Link::Up(1, relay(1)), seconds(0.0));
    vigil.watched(seconds(60.0));
    assert_eq!(vigil.last_proof(), Some(seconds(0.0)));

    assert_eq!(vigil.task(seconds(60.0)), Task::Probe(relay(1)));
    vigil.began(Begun::Circuit(7), seconds(60.0));
    assert_eq!(vigil.task(seconds(60.0)), Task::Look);
    vigil.looks(seconds(60.0));
    vigil.found(&Look { under_way: vec![7], ..Look::default() }, seconds(60.0));
    assert_eq!(vigil.task(seconds(60.1)), Task::Wait(Some(seconds(60.4))));
    vigil.looks(seconds(60.4));
    vigil.found(&Look { built: vec![7], ..Look::default() }, seconds(60.4));

    assert_eq!(vigil.last_proof(), Some(seconds(60.4)));
    assert_eq!(vigil.task(seconds(60.4)), Task::Close(7));
    assert_eq!(vigil.task(seconds(62.0)), Task::Probe(relay(1)));
}

/// When it is told that a relay has closed a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    BeforeItsBeginning,
    BeforeTheNextLook,
    AfterTheNextLook,
}

/// A tor with introduction circuits over one relay, and a session.
struct Tor {
    circuits: Vec<Circuit>,
    next: u64,
    /// All circuits of one hop are refused, and that is told then.
    refuses: Option<Told>,
    /// Circuits of one hop up to this number are never built.
    silent_to: u64,
    probes: Vec<(u64, RelayId, f64)>,
    closed: Vec<(u64, f64)>,
    /// When its services were published anew.
    renewed: Vec<f64>,
}

impl Tor {
    fn new() -> Self {
        let circuit = |(number, carries)| Circuit { number, first: relay(1), carries };
        let circuits = [
            (1, Carries::Introductions),
            (2, Carries::Introductions),
            (3, Carries::Session),
            (4, Carries::Other),
        ];
        Self {
            circuits: circuits.map(circuit).into(),
            next: 10,
            refuses: None,
            silent_to: 0,
            probes: vec![],
            closed: vec![],
            renewed: vec![],
        }
    }

    fn closed_numbers(&self) -> Vec<u64> {
        self.closed.iter().map(|(number, _)| *number).collect()
    }

    /// Its services are published anew, by other circuits.
    fn renew(&mut self, now: f64) {
        self.renewed.push(now);
        for circuit in &mut self.circuits {
            if circuit.carries == Carries::Introductions {
                circuit.number = self.next;
                self.next += 1;
            }
        }
    }

    fn tell_refused(&self, told: Told, vigil: &mut Vigil, now: f64) {
        if self.refuses == Some(told)
            && let Some((number, ..)) = self.probes.last()
        {
            vigil.refused(*number, seconds(now));
        }
    }

    /// Plays it. tor takes a tenth of a second to build a circuit, and services whose circuits lead nowhere are published anew.
    fn play(&mut self, vigil: &mut Vigil, from: f64, to: f64) {
        let mut now = from;
        while now < to {
            if vigil.take_deserted() {
                self.renew(now);
            }
            match vigil.task(seconds(now)) {
                Task::Look => {
                    vigil.looks(seconds(now));
                    let (mut built, mut under_way) = (vec![], vec![]);
                    for (number, _, began) in &self.probes {
                        if self.refuses.is_some() {
                            continue;
                        }
                        let is_built = *number > self.silent_to && now >= began + 0.1;
                        (if is_built { &mut built } else { &mut under_way }).push(*number);
                    }
                    let circuits = self.circuits.clone();
                    let look = Look { relays: vec![relay(1)], built, under_way, circuits, ..Look::default() };
                    vigil.found(&look, seconds(now));
                    self.tell_refused(Told::AfterTheNextLook, vigil, now);
                }
                Task::Probe(relay) => {
                    self.probes.push((self.next, relay, now));
                    self.tell_refused(Told::BeforeItsBeginning, vigil, now);
                    vigil.began(Begun::Circuit(self.next), seconds(now));
                    self.tell_refused(Told::BeforeTheNextLook, vigil, now);
                    self.next += 1;
                }
                Task::Close(number) => {
                    let closed = self.circuits.iter().position(|circuit| circuit.number == number);
                    if let Some(closed) = closed.map(|at| self.circuits.remove(at)) {
                        assert_eq!(closed.carries, Carries::Other);
                        self.closed.push((number, now));
                    }
                }
                Task::Wait(until) => now = until.map_or(to, |until| until.as_secs_f64()).max(now + 0.001),
            }
        }
    }
}

fn serving() -> Vigil {
    let mut vigil = Vigil::default();
    vigil.link(Link::Up(1, relay(1)), seconds(0.0));
    vigil.link(Link::Up(2, relay(2)), seconds(0.0));
    vigil.services(true, seconds(0.0));
    vigil
}

#[test]
fn a_relay_that_carries_introductions_is_asked_six_times_a_minute() {
    let (mut vigil, mut tor) = (serving(), Tor::new());

    tor.play(&mut vigil, 0.0, 600.0);

    assert!((50..=60).contains(&tor.probes.len()), "{:?}", tor.probes);
    assert!(tor.probes.iter().all(|(_, asked, _)| *asked == relay(1)));
    assert_eq!((&*tor.closed, &*tor.renewed), (&[][..], &[][..]));
}

#[test]
fn what_a_connection_that_died_in_silence_carried_is_given_up_within_half_a_minute_but_for_sessions() {
    for died in 0..25 {
        let (mut vigil, mut tor) = (serving(), Tor::new());
        let died = 100.0 + f64::from(died);
        tor.play(&mut vigil, 0.0, died);
        // What is asked first goes over the old connection, all else over a new one.
        tor.silent_to = tor.next;

        tor.play(&mut vigil, died, died + 18.0);

        assert_eq!((tor.closed_numbers(), tor.renewed.len()), (vec![4], 1), "died at {died}");
    }
}

#[test]
fn a_connection_that_died_in_silence_proves_nothing_beside_the_one_that_took_its_place() {
    let (mut vigil, mut tor) = (Vigil::default(), Tor::new());
    vigil.link(Link::Up(1, relay(1)), seconds(0.0));
    vigil.link(Link::Up(5, relay(2)), seconds(0.0));
    vigil.services(true, seconds(0.0));
    tor.play(&mut vigil, 0.0, 100.0);
    tor.silent_to = tor.next;
    let mut now = 100.0;
    while vigil.doubted.is_empty() {
        tor.play(&mut vigil, now, now + 0.1);
        now += 0.1;
    }
    vigil.link(Link::Up(6, relay(1)), seconds(now));
    tor.play(&mut vigil, now, 130.0);
    assert_eq!(vigil.offline(seconds(130.0)), None);

    vigil.link(Link::Down(6, refused()), seconds(130.0));

    assert!(vigil.offline(seconds(132.0)).is_some(), "tor holds those from before still");
    tor.play(&mut vigil, 130.0, 136.0);
    assert_eq!(vigil.offline(seconds(136.0)), None, "one of them answers after all");
}

#[test]
fn a_relay_that_refuses_a_circuit_has_answered() {
    for told in [Told::BeforeItsBeginning, Told::BeforeTheNextLook, Told::AfterTheNextLook] {
        let (mut vigil, mut tor) = (serving(), Tor::new());
        tor.refuses = Some(told);
        tor.play(&mut vigil, 0.0, 300.0);

        assert_eq!(
            (&*tor.closed, &*tor.renewed),
            (&[][..], &[][..]),
            "{told:?}: circuits that work were closed"
        );
        assert!(vigil.last_proof() > Some(seconds(270.0)), "{told:?}: {:?}", vigil.last_proof());
        assert!((22..=30).contains(&tor.probes.len()), "{told:?}: {} questions", tor.probes.len());

        vigil.woke(seconds(400.0));
        tor.play(&mut vigil, 400.0, 405.0);
        assert_eq!(vigil.offline(seconds(405.0)), None, "{told:?}");
        assert_eq!((&*tor.closed, &*tor.renewed), (&[][..], &[][..]), "{told:?}");
    }
}

#[test]
fn a_relay_that_refuses_circuits_keeps_those_that_it_has() {
    for is_silent_at_first in [false, true] {
        let (mut vigil, mut tor) = (serving(), Tor::new());
        let mut now = 0.0;
        while now < 900.0 {
            if is_silent_at_first {
                (tor.refuses, tor.silent_to) = (None, tor.next);
                while tor.probes.last().is_none_or(|(number, ..)| *number < tor.silent_to) {
                    tor.play(&mut vigil, now, now + 0.5);
                    now += 0.5;
                }
            }
            // Every other question is refused after that.
            tor.refuses = tor.refuses.xor(Some(Told::BeforeTheNextLook));
            tor.play(&mut vigil, now, now + 11.0);
            now += 11.0;
        }
        assert_eq!((&*tor.closed, &*tor.renewed), (&[][..], &[][..]), "{is_silent_at_first}");
        assert_eq!(vigil.offline(seconds(now)), None);
    }
}

#[test]
fn nothing_is_closed_while_nothing_shows_that_the_network_is_there() {
    let (mut vigil, mut tor) = (serving(), Tor::new());
    tor.play(&mut vigil, 0.0, 100.0);
    tor.silent_to = u64::MAX;

    tor.play(&mut vigil, 100.0, 700.0);

    assert_eq!((&*tor.closed, &*tor.renewed), (&[][..], &[][..]));
    let last: Vec<_> = tor.probes.iter().map(|(_, asked, _)| asked.clone()).collect();
    assert!(last.contains(&relay(2)), "only one relay is tried");
    assert!(tor.probes.len() < 130, "{} tries in ten minutes", tor.probes.len());
}

#[test]
fn circuits_are_closed_seldom_however_often_a_connection_fails() {
    let (mut vigil, mut tor) = (serving(), Tor::new());
    for turn in 0..90_u32 {
        let from = f64::from(turn) * 20.0;
        // tor has built another meanwhile.
        tor.circuits.retain(|circuit| circuit.carries != Carries::Other);
        tor.circuits.push(Circuit { number: tor.next, first: relay(1), carries: Carries::Other });
        tor.next += 1;
        tor.silent_to = tor.next;
        tor.play(&mut vigil, from, from + 20.0);
    }

    let in_any_five_minutes = tor
        .closed
        .iter()
        .map(|(_, at)| tor.closed.iter().filter(|(_, other)| (*at..at + 300.0).contains(other)).count());
    assert!(in_any_five_minutes.clone().max() > Some(0) && in_any_five_minutes.max() <= Some(10));
    // How often a service is published anew is for `health` to say.
    assert!(tor.renewed.len() > 10, "{:?}", tor.renewed);
}

#[test]
fn who_connects_has_the_network_asked_once_in_ten_seconds() {
    let mut vigil = Vigil::default();
    vigil.link(Link::Up(1, relay(1)), seconds(0.0));
    let mut tor = Tor::new();
    for second in 60..120_u32 {
        vigil.used(seconds(f64::from(second)));
        tor.play(&mut vigil, f64::from(second), f64::from(second + 1));
    }

    assert!((5..=7).contains(&tor.probes.len()), "{:?}", tor.probes);
}
