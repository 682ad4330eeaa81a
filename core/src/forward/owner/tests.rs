//! Tests of `owner`: what is told of those who were turned away.

use super::*;

#[tokio::test(start_paused = true)]
async fn refusals_are_counted_and_told_until_none_came_for_ten_minutes() {
    let owners = Owners::new(Users::Me, "127.0.0.1:9250".into());
    assert_eq!(owners.turned_away(), None);

    owners.note("user 1001".into());
    owners.note("user 1002".into());
    assert_eq!(owners.turned_away(), Some(TurnedAway { who: "user 1002".into(), times: 2 }));

    tokio::time::advance(TOLD_FOR).await;
    assert_eq!(owners.turned_away(), None);
    owners.note("user 1001".into());
    assert_eq!(owners.turned_away(), Some(TurnedAway { who: "user 1001".into(), times: 1 }));
}

#[tokio::test]
async fn an_address_for_all_asks_nothing_and_one_for_me_lets_this_process_in() {
    let (stream, _app) = crate::forward::testing::tcp_pair().await;
    let stream = Stream::Tcp(stream);
    for users in [Users::All, Users::Me] {
        let owners = Owners::new(users, "127.0.0.1:9250".into());
        assert!(owners.admit(&stream).await);
        assert_eq!(owners.turned_away(), None);
    }
}

#[tokio::test]
async fn a_port_that_another_program_has_by_now_lets_nobody_in() {
    let (stream, app) = crate::forward::testing::tcp_pair().await;
    let owners = Owners::new(Users::Me, "127.0.0.1:9250".into());
    let answer_comes_late = async move |_, _| {
        socket2::SockRef::from(&app).set_linger(Some(Duration::ZERO)).unwrap();
        drop(app);
        Ok(User::Me)
    };
    assert!(!owners.admit_by(&stream, answer_comes_late).await);
}

#[tokio::test]
async fn who_only_tries_whether_somebody_listens_is_not_told_of_as_refused() {
    let owners = Owners::new(Users::Me, "127.0.0.1:9250".into());
    for linger in [None, Some(Duration::ZERO)] {
        let (stream, app) = crate::forward::testing::tcp_pair().await;
        socket2::SockRef::from(&app).set_linger(linger).unwrap();
        drop(app);
        assert!(!owners.admit(&Stream::Tcp(stream)).await || cfg!(not(target_os = "linux")));
    }
    assert_eq!(owners.turned_away(), None);
}

#[tokio::test(start_paused = true)]
async fn those_who_knock_without_end_do_not_fill_the_log() {
    let owners = Owners::new(Users::Me, "0.0.0.0:9250".into());
    for last in 0..100 {
        owners
            .note(format!("somebody unknown (no open socket of this machine connects from 192.0.2.{last})"));
    }
    assert_eq!(owners.turned_away().map(|away| away.times), Some(100));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(owners.told.note(), Some(99), "lines that were left out");
}
