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
