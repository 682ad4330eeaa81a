//! `status` and the lists: valid YAML and JSON that say the same.

use serde_json::Value;

use crate::refused::Host;

pub(crate) fn set_up() -> Host {
    let (host, other) = (Host::new(), Host::new());
    other.good(&["export", "add", "22"]);
    let invite = other.good(&["client", "add", "here"]);
    host.good(&["export", "add", "22"]);
    host.good(&["export", "add", "[::1]:80"]);
    host.good(&["export", "add", "8080", "81"]);
    host.good(&["export", "add", "192.168.1.10:8123", "--allow-lan"]);
    host.good(&["export", "add", "unix:/run/a: b #c.sock", "99"]);
    host.good(&["client", "add", "null", "--port", "22", "--port", "80", "--expires", "30d"]);
    host.good(&["client", "add", "yes"]);
    host.good(&["remote", "add", "on", invite.trim()]);
    host.good(&["import", "add", "on", "22", "[::1]:10022"]);
    host.good(&["import", "add", "on", "25", "0.0.0.0:10025"]);
    host.good(&["import", "add", "on", "26", "unix:/tmp/ormesh: test.sock"]);
    host.good(&["remote", "request", "no"]);
    host
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn yaml_and_json_say_the_same() {
    let host = set_up();
    let yaml: Value = serde_saphyr::from_str(&host.good(&["status"])).unwrap();
    let status = json(&host.good(&["status", "--json"]));
    assert_eq!(status["version"], 2);
    assert_eq!(status["agent"], Value::Null);

    let exports = yaml["service"]["export"].as_array().unwrap();
    assert_eq!(exports.len(), status["exports"].as_array().unwrap().len());
    assert!(exports.iter().all(Value::is_string), "{exports:?}");
    for (yaml, json) in
        [(&yaml["service"]["clients"], &status["clients"]), (&yaml["remotes"], &status["remotes"])]
    {
        let both = yaml.as_array().unwrap().iter().zip(json.as_array().unwrap());
        assert_eq!(yaml.as_array().unwrap().len(), json.as_array().unwrap().len());
        for (yaml, json) in both {
            assert_eq!((&yaml["name"], &yaml["address"]), (&json["name"], &json["address"]));
        }
    }
    assert_eq!(yaml["service"]["clients"][0]["expires"], status["clients"][0]["expires"]);
    let imports = |value: &Value, key: &str| -> Vec<Value> {
        value["remotes"][0]["imports"].as_array().unwrap().iter().map(|import| import[key].clone()).collect()
    };
    assert_eq!(imports(&yaml, "local-addr"), imports(&status, "listen"));
    assert_eq!(imports(&yaml, "remote-port"), imports(&status, "remote_port"));
    assert_eq!(yaml["requests"], status["requests"]);
}

#[test]
fn lists_have_no_header_in_a_pipe_and_a_line_for_each() {
    let host = set_up();
    for (noun, count) in [("export", 5), ("client", 2), ("remote", 2), ("import", 3)] {
        assert_eq!(host.good(&[noun, "list"]).lines().count(), count, "{noun}");
        assert_eq!(host.good(&[noun, "ls"]), host.good(&[noun, "list"]));
    }
    assert_eq!(json(&host.good(&["import", "list", "--json"]))[0]["remote"], "on");
    assert_eq!(json(&host.good(&["client", "show", "yes", "--json"]))["name"], "yes");
}

#[test]
fn a_host_that_is_set_up_and_has_no_agent_says_so() {
    let ran = set_up().ormesh(&["status"]);
    assert!(ran.stdout.contains("service:"), "{}", ran.stdout);
    assert!(ran.stderr.starts_with("hint: no agent runs"), "{}", ran.stderr);
    assert_eq!(set_up().ormesh(&["status", "--json"]).stderr, "");
}

#[test]
fn empty_lists_are_empty_and_say_what_to_do() {
    let host = Host::new();
    for noun in ["export", "client", "remote", "import"] {
        let ran = host.ormesh(&[noun, "list"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
        assert!(ran.stderr.starts_with("hint: "), "{}", ran.stderr);
        let ran = host.ormesh(&[noun, "list", "--json"]);
        assert_eq!((ran.code, json(&ran.stdout), ran.stderr.as_str()), (0, Value::Array(vec![]), ""));
    }
    assert_eq!(host.kept().len(), 0, "looking made something");
}

#[test]
fn a_host_on_which_nothing_is_set_up_says_so() {
    let host = Host::new();
    let ran = host.ormesh(&["status"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert!(ran.stderr.starts_with("hint: nothing is set up yet"), "{}", ran.stderr);
    assert_eq!(host.ormesh(&["status", "--json"]).stderr, "");
}
