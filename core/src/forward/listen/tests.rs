//! Tests of `listen`: each refusal has its reason.

use std::net::Ipv4Addr;

use super::*;

fn any_port() -> ListenAddr {
    ListenAddr::Tcp((Ipv4Addr::LOCALHOST, 0).into())
}

#[tokio::test]
async fn a_port_in_use_names_its_holder() {
    let first = open(&any_port()).await.unwrap();
    let addr = ListenAddr::Tcp(first.tcp_addr().unwrap());

    let refused = open(&addr).await.unwrap_err();

    let ListenError::InUse { by: Some(by), .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(by, OURS);
    assert!(refused.to_string().contains(by) && !hint(&refused).contains("stop"));
    drop(first);
    open(&addr).await.unwrap();
}

#[tokio::test]
async fn a_holder_of_all_addresses_is_found_too() {
    let all = open(&ListenAddr::Tcp((Ipv4Addr::UNSPECIFIED, 0).into())).await.unwrap();
    let port = all.tcp_addr().unwrap().port();

    let by = holders::holder((Ipv4Addr::LOCALHOST, port).into()).await.unwrap();

    assert_eq!(by, OURS);
}

#[tokio::test]
async fn an_address_of_another_machine_is_said_to_be_so() {
    // TEST-NET-1 (RFC 5737) belongs to nobody.
    let addr: ListenAddr = "192.0.2.1:10022".parse().unwrap();

    assert_eq!(open(&addr).await.unwrap_err(), ListenError::NotAvailable { addr });
}

#[test]
fn a_low_port_has_a_hint_of_its_own() {
    let refused = |text: &str| ListenError::Permission { addr: text.parse().unwrap() };

    assert_ne!(hint(&refused("0.0.0.0:25")), hint(&refused("0.0.0.0:2500")));
}

#[cfg(unix)]
mod unix {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::store::apart::all_done;

    #[tokio::test]
    async fn a_unix_socket_is_private_and_removed_at_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");

        let bound = open(&ListenAddr::Unix(path.clone())).await.unwrap();

        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        drop(bound);
        all_done().await;
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let addr = ListenAddr::Unix(path.clone());
        let live = UnixListener::bind(&path).unwrap();
        assert_eq!(open(&addr).await.unwrap_err(), ListenError::InUse { addr: addr.clone(), by: None });

        drop(live);

        let bound = open(&addr).await.unwrap();
        // One that was replaced by somebody else's is left alone.
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(bound);
        all_done().await;
        assert!(path.exists());
        drop(other);
    }

    #[tokio::test]
    async fn what_is_not_our_socket_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "precious").unwrap();
        let stale = dir.path().join("stale");
        drop(UnixListener::bind(&stale).unwrap());
        symlink(&stale, &link).unwrap();

        for path in [&file, &link, &dir.path().to_path_buf()] {
            let refused = open(&ListenAddr::Unix(path.clone())).await.unwrap_err();
            assert_eq!(refused, ListenError::PathExists(path.clone()));
        }
        assert_eq!(fs::read(&file).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn a_missing_directory_is_said_to_be_missing() {
        let path = std::path::PathBuf::from("/nonexistent/dir/s");

        let refused = open(&ListenAddr::Unix(path.clone())).await.unwrap_err();

        assert_eq!(refused, ListenError::NoDirectory(path));
    }
}
