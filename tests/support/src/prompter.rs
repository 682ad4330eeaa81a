//! What asks for a keyring's password on a test's session bus, instead of a window: it counts how often it is asked, and cancels.
//!
//! The interface is GNOME's, between gnome-keyring-daemon and gcr-prompter: `gcr/org.gnome.keyring.Prompter.xml` of gcr 3.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use zbus::blocking::Connection;
use zbus::blocking::connection::Builder;
use zbus::message::Header;
use zbus::names::BusName;
use zbus::object_server::ResponseDispatchNotifier;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};

const CALLBACK: &str = "org.gnome.keyring.internal.Prompter.Callback";

/// On a session bus for as long as this value lives.
pub struct Prompter {
    asked: Arc<AtomicUsize>,
    _connection: Connection,
}

impl Prompter {
    /// Puts one on the bus at this address.
    pub fn on(address: &str) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let desk = Desk { asked: Arc::clone(&asked) };
        let connection = Builder::address(address)
            .and_then(|builder| builder.serve_at("/org/gnome/keyring/Prompter", desk))
            .and_then(|builder| builder.name("org.gnome.keyring.SystemPrompter"))
            .and_then(Builder::build)
            .unwrap();
        Self { asked, _connection: connection }
    }

    /// How often a person would have been asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

struct Desk {
    asked: Arc<AtomicUsize>,
}

/// What a call answers, by which is known when it has.
type Answered = ResponseDispatchNotifier<()>;

/// Tells whoever wants to ask, once their call has its answer: what comes before that is lost on them.
fn tell(
    connection: &zbus::Connection,
    header: &Header<'_>,
    callback: OwnedObjectPath,
    reply: Option<&'static str>,
) -> Answered {
    let (answered, sent) = Answered::new(());
    let Some(caller) = header.sender().map(|sender| BusName::from(sender.to_owned())) else {
        return answered;
    };
    let connection = connection.clone();
    let told = async move {
        sent.await;
        let nothing = HashMap::<&str, Value<'_>>::new();
        match reply {
            Some(reply) => {
                let body = (reply, nothing, "");
                connection.call_method(Some(caller), callback, Some(CALLBACK), "PromptReady", &body).await
            }
            None => connection.call_method(Some(caller), callback, Some(CALLBACK), "PromptDone", &()).await,
        }
    };
    std::thread::spawn(move || zbus::block_on(told));
    answered
}

#[zbus::interface(name = "org.gnome.keyring.internal.Prompter")]
impl Desk {
    fn begin_prompting(
        &self,
        callback: OwnedObjectPath,
        #[zbus(connection)] connection: &zbus::Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Answered {
        tell(connection, &header, callback, Some(""))
    }

    fn perform_prompt(
        &self,
        callback: OwnedObjectPath,
        _kind: &str,
        _properties: HashMap<String, OwnedValue>,
        _exchange: &str,
        #[zbus(connection)] connection: &zbus::Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Answered {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tell(connection, &header, callback, Some("no"))
    }

    fn stop_prompting(
        &self,
        callback: OwnedObjectPath,
        #[zbus(connection)] connection: &zbus::Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Answered {
        tell(connection, &header, callback, None)
    }
}
