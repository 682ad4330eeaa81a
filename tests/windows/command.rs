//! The command by itself: what it says of Windows, and what it refuses in words.

use std::fs;

use crate::host::Windows;

#[test]
fn it_starts_and_says_where_its_files_are() {
    let host = Windows::new("host");

    assert!(host.good(&["--version"]).starts_with("ormesh "));
    assert_eq!(host.good(&["config", "path"]).trim(), host.windows_path("config.toml"));
    assert_eq!(host.good(&["status"]), "", "there is nothing yet");
}

#[test]
fn what_only_other_systems_have_is_refused_in_words() {
    let host = Windows::new("host");

    let unit = host.ormesh(&["agent", "systemd-unit", "--user"]);
    assert_eq!(unit.code, 2, "{}", unit.stderr);
    assert!(
        unit.stderr.contains("this system has no systemd") && unit.stderr.contains("shell:startup"),
        "{}",
        unit.stderr
    );
    assert!(unit.stdout.is_empty());

    let export = host.ormesh(&["export", "add", "unix:/tmp/socket", "80"]);
    assert!(export.code != 0 && export.stderr.contains("there are none on Windows"), "{}", export.stderr);

    let none = host.ormesh(&["agent", "stop"]);
    assert_eq!(none.code, 3);
    assert!(!none.stderr.contains("systemd"), "{}", none.stderr);

    let mut relative = host.command(crate::host::program("ormesh.exe"));
    let relative = relative.env("ORMESH_STATE", "state").arg("status").output().unwrap();
    let said = String::from_utf8_lossy(&relative.stderr).into_owned();
    assert!(said.contains(r"as in C:\") && !said.contains("from /"), "{said}");
}

#[test]
fn nothing_is_coloured_where_nobody_sees_it() {
    let host = Windows::new("host");

    let refused = host.ormesh(&["agent", "stop"]);

    assert!(!refused.stderr.contains('\x1b'), "{:?}", refused.stderr);
}

#[test]
fn an_invite_is_read_from_what_powershell_writes() {
    let (server, host) = (Windows::new("server"), Windows::new("host"));
    server.good(&["export", "add", "22"]);
    let invite = server.invite("client");
    let with_mark: Vec<u8> = [0xfeff_u16]
        .into_iter()
        .chain(format!("{invite}\r\n").encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(host.path("invite.txt"), &with_mark).unwrap();

    host.good(&["remote", "add", "file", "--file", &host.windows_path("invite.txt")]);
    let piped = host.ormesh_reading(&["remote", "add", "file", "-", "--replace"], &with_mark);

    assert_eq!(piped.code, 0, "{}", piped.stderr);
}

#[test]
fn ssh_is_given_a_path_that_a_shell_takes() {
    let (server, host) = (Windows::new("server"), Windows::new("host"));
    server.good(&["export", "add", "22"]);
    host.add_remote("server", &server.invite("client"));

    let config = host.good(&["remote", "ssh-config", "server"]);

    assert!(!config.contains(r"\\?\"), "{config}");
    assert!(config.contains(r#"ProxyCommand "Z:\"#) && config.contains("ormesh.exe"), "{config}");
}
