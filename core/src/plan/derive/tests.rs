//! What is said of a host on which no agent runs. What is derived from health is tried with it, in `health/tests`.

use super::*;
use crate::model::config::{InstanceId, parse};
use crate::model::keys::{ClientKey, ServiceKey};

#[test]
fn without_an_agent_the_status_is_what_the_file_says_and_no_state() {
    let id = |seed: u8| {
        let address = ServiceKey::from_seed(&zeroize::Zeroizing::new([seed; 32])).address();
        format!(
            "address = \"{address}\"\nkey = \"{}\"\n",
            ClientKey::from_bytes(&[seed; 32]).unwrap().public()
        )
    };
    let text = format!(
        "[[export]]\ntarget = \"127.0.0.1:8080\"\nport = 80\nclients = [\"anna\"]\n[[export]]\ntarget = \"127.0.0.1:22\"\n\
         [client.anna]\n{}ports = [22, 80, 99]\n[client.ben]\n{}expires = \"2027-01-02\"\n\
         [remote.nas]\n{}ports = [445, 22]\nexpires = \"2027-01-03\"\n\
         [[remote.nas.import]]\nremote-port = 445\nlisten = \"127.0.0.1:4450\"\nonly-me = true\n\
         [[remote.nas.import]]\nremote-port = 22\nlisten = \"unix:/run/nas\"\n[remote.old]\n{}[request.new]\n{}",
        id(1),
        id(2),
        id(3),
        id(4),
        id(5).lines().nth(1).unwrap()
    );
    let config = parse(&text, &InstanceId::from_random([7; 10])).unwrap();

    let status = serde_json::to_value(at_rest(&config)).unwrap();

    let part = |path: &str| status.pointer(path).unwrap_or(&serde_json::Value::Null).clone();
    for (path, expected) in [
        ("/agent", "null"),
        ("/problems", "[]"),
        ("/requests", r#"["new"]"#),
        ("/exports/0/port", "22"),
        ("/exports/0/clients", "null"),
        ("/exports/1/target", r#""127.0.0.1:8080""#),
        ("/exports/1/clients", r#"["anna"]"#),
        ("/clients/0/ports", "[22,80,99]"),
        ("/clients/0/may_reach", "[22,80]"),
        ("/clients/0/state", "null"),
        ("/clients/1/ports", "null"),
        ("/clients/1/may_reach", "[22]"),
        ("/clients/1/expires", r#""2027-01-02""#),
        ("/remotes/0/offers", "[22,445]"),
        ("/remotes/0/expires", r#""2027-01-03""#),
        ("/remotes/0/imports/0/listen", r#""127.0.0.1:4450""#),
        ("/remotes/0/imports/0/remote_port", "445"),
        ("/remotes/0/imports/0/users", r#""me""#),
        ("/remotes/0/imports/1/listen", r#""unix:/run/nas""#),
        ("/remotes/0/imports/1/users", "null"),
        ("/remotes/0/state", "null"),
        ("/remotes/1/name", r#""old""#),
        ("/remotes/1/offers", "null"),
    ] {
        assert_eq!(part(path).to_string(), expected, "{path} of {status:#}");
    }
}
