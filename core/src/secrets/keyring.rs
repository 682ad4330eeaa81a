//! The store `os-keyring`: the system's own (Secret Service, Keychain, Credential Manager), and the meaning of its errors.
//!
//! A call may take as long as a person takes to answer a prompt, or for ever: deadlines are the worker's.

use std::io;
use std::sync::Arc;

use data_encoding::BASE64;
use keyring::{Entry, Error};
use keyring_core::CredentialStore;
#[cfg(all(unix, not(target_os = "macos")))]
use secret_service::EncryptionType;
#[cfg(all(unix, not(target_os = "macos")))]
use secret_service::blocking::{Collection, SecretService};
use zeroize::Zeroizing;

use super::{SecretId, SecretStore, SecretsError};
use crate::model::keys::Secret;

/// What our entries are filed under.
pub const SERVICE: &str = "ormesh";

/// Secrets as entries of the system's keyring: base64, under [`SERVICE`], for a user named `<instance>/<id>`.
pub struct KeyringStore {
    instance: String,
    /// The connection, from the first call on; given up when it fails, since a keyring that restarts forgets its sessions.
    system: Option<Arc<CredentialStore>>,
    lock: KeyringLock,
}

impl KeyringStore {
    /// Keeps the secrets of one configuration, which its random instance id tells from others of the same user. Connects at first use.
    pub fn new(instance: &str) -> Self {
        Self { instance: instance.to_owned(), system: None, lock: KeyringLock::default() }
    }

    /// Does something to an entry; once more over a new connection where one of an earlier call fails.
    fn with_entry<T>(&mut self, name: &str, act: impl Fn(&Entry) -> Result<T, Error>) -> Result<T, Failure> {
        let user = format!("{}/{name}", self.instance);
        if let Some(system) = &self.system {
            match self::entry(system.as_ref(), &user).and_then(|entry| act(&entry)) {
                Err(Error::PlatformFailure(_)) => self.system = None,
                other => return other.map_err(Failure::from),
            }
        }
        let system = connect().map_err(from_connecting)?;
        let result = self::entry(system.as_ref(), &user).and_then(|entry| act(&entry));
        self.system = (!matches!(result, Err(Error::PlatformFailure(_)))).then_some(system);
        result.map_err(Failure::from)
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), SecretsError> {
        let text = Zeroizing::new(BASE64.encode(bytes));
        self.with_entry(name, |entry| entry.set_password(&text)).map_err(|failure| match failure {
            // No collection to write to: a Secret Service to which nobody has logged in.
            Failure::NoEntry => SecretsError::Locked("it has no place to write to".into()),
            Failure::Other(error) => error,
        })
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, Failure> {
        let text = Zeroizing::new(self.with_entry(name, Entry::get_password)?);
        BASE64
            .decode(text.as_bytes())
            .map_err(|_| Failure::Other(SecretsError::Failed(format!("the entry {name} is damaged"))))
    }

    /// Erases an entry; says whether there was one.
    fn erase(&mut self, name: &str) -> Result<bool, SecretsError> {
        match self.with_entry(name, Entry::delete_credential) {
            Ok(()) => Ok(true),
            Err(Failure::NoEntry) => Ok(false),
            Err(Failure::Other(error)) => Err(error),
        }
    }
}

impl SecretStore for KeyringStore {
    fn get(&mut self, id: &SecretId) -> Result<Secret, SecretsError> {
        self.read(&id.to_string()).map(Secret::new).map_err(|failure| match failure {
            Failure::NoEntry => SecretsError::NoEntry(*id),
            Failure::Other(error) => error,
        })
    }

    fn set(&mut self, id: &SecretId, secret: &Secret) -> Result<(), SecretsError> {
        self.write(&id.to_string(), secret.expose())
    }

    fn delete(&mut self, id: &SecretId) -> Result<(), SecretsError> {
        match self.erase(&id.to_string())? {
            true => Ok(()),
            // A locked store may hide its entries: only one that works is believed when it says that there is none.
            false => self.probe(),
        }
    }

    /// A search for what is not there touches nothing that is locked.
    fn reach(&mut self) -> Result<(), SecretsError> {
        match self.with_entry("none", Entry::get_password) {
            Ok(_) | Err(Failure::NoEntry) => Ok(()),
            Err(Failure::Other(error)) => Err(error),
        }
    }

    fn is_locked(&mut self) -> Result<bool, SecretsError> {
        self.lock.is_closed()
    }

    fn unlock(&mut self) -> Result<(), SecretsError> {
        self.lock.open()
    }

    fn probe(&mut self) -> Result<(), SecretsError> {
        let name = format!("canary-{}", std::process::id());
        self.write(&name, b"canary")?;
        let read = self.read(&name);
        self.erase(&name)?;
        match read {
            Ok(bytes) if bytes == b"canary" => Ok(()),
            Err(Failure::Other(error)) => Err(error),
            _ => Err(SecretsError::Failed("it does not keep what is written".into())),
        }
    }
}

/// The crate's own constructor connects once for a process and never again; an agent outlives its keyring.
fn entry(system: &CredentialStore, user: &str) -> Result<Entry, Error> {
    system.build(SERVICE, user, None).map(|inner| Entry { inner })
}

/// An error before it is known which id it is about.
enum Failure {
    NoEntry,
    Other(SecretsError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // Their `Display` holds no value; their `Debug` may.
        match error {
            Error::NoEntry => Self::NoEntry,
            Error::NoStorageAccess(reason) => {
                Self::Other(SecretsError::Locked(why_locked(&reason.to_string())))
            }
            Error::NoDefaultStore => Self::Other(SecretsError::Absent("none is set up".into())),
            other => Self::Other(SecretsError::Failed(other.to_string())),
        }
    }
}

/// What the Secret Service's crate says of a store that stays locked, in words: `SS error: prompt dismissed`.
fn why_locked(reason: &str) -> String {
    match reason.contains("prompt dismissed") {
        true => "its password was asked for and not given".into(),
        false => reason.trim_start_matches("SS error: ").into(),
    }
}

/// Names of D-Bus errors by which a bus says that nobody provides the Secret Service (D-Bus specification, "Message Bus Messages").
const NO_PROVIDER: [&str; 2] =
    ["org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner"];
/// What `secret_service::Error::Unavailable` says: there is no address of a session bus.
const NO_BUS: &str = "no secret service provider or dbus session found";

/// What it means that no connection came about. Only what is known to mean "there is none" is taken for that: anything else might be
/// a keyring in trouble, and no reason to go without one.
fn from_connecting(error: Error) -> Failure {
    let text = error.to_string();
    let no_provider = NO_PROVIDER.iter().any(|name| text.contains(name));
    if no_provider || text.contains(NO_BUS) || is_nothing_there(&error) {
        Failure::Other(SecretsError::Absent("no system keyring answers".into()))
    } else {
        error.into()
    }
}

/// Whether an error comes down to there being no file at a path: the socket of the session bus, which would be there.
fn is_nothing_there(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        let shared = error.downcast_ref::<Arc<io::Error>>().map(Arc::as_ref);
        shared
            .or(error.downcast_ref())
            .is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::NotFound)
    })
}

#[cfg(all(unix, not(target_os = "macos")))]
fn connect() -> Result<Arc<CredentialStore>, Error> {
    Ok(zbus_secret_service_keyring_store::Store::new()?)
}

/// The lock of the collection that our entries are in, beside the crate's own calls, each of which asks a person where it is closed.
#[cfg(all(unix, not(target_os = "macos")))]
#[derive(Default)]
struct KeyringLock(Option<SecretService<'static>>);

#[cfg(all(unix, not(target_os = "macos")))]
impl KeyringLock {
    /// Whether it is closed. Where nobody ever logged in there is no collection, and nothing to be unlocked.
    fn is_closed(&mut self) -> Result<bool, SecretsError> {
        match self.of_collection(|collection| collection.is_locked()) {
            Err(secret_service::Error::NoResult) => Ok(false),
            other => other.map_err(from_service),
        }
    }

    /// Has the keyring ask for its password, if it is closed.
    fn open(&mut self) -> Result<(), SecretsError> {
        match self
            .of_collection(|collection| if collection.is_locked()? { collection.unlock() } else { Ok(()) })
        {
            Ok(()) | Err(secret_service::Error::NoResult) => Ok(()),
            // The prompt may be another program's, and fail in its own ways: what counts is whether it is open.
            Err(error) => match self.is_closed()? {
                true => Err(SecretsError::Locked(why_locked(&error.to_string()))),
                false => Ok(()),
            },
        }
    }

    /// Asks the collection that is called default; once more over a new connection where one of an earlier call fails.
    fn of_collection<T>(
        &mut self,
        ask: impl Fn(&Collection<'_>) -> Result<T, secret_service::Error>,
    ) -> Result<T, secret_service::Error> {
        let of = |service: &SecretService<'_>| ask(&service.get_default_collection()?);
        if let Some(service) = &self.0 {
            match of(service) {
                Err(secret_service::Error::Zbus(_) | secret_service::Error::ZbusFdo(_)) => self.0 = None,
                other => return other,
            }
        }
        let service = SecretService::connect(EncryptionType::Plain)?;
        let result = of(&service);
        self.0 = Some(service);
        result
    }
}

#[cfg(all(unix, not(target_os = "macos")))]
fn from_service(error: secret_service::Error) -> SecretsError {
    match from_connecting(Error::PlatformFailure(Box::new(error))) {
        Failure::Other(error) => error,
        Failure::NoEntry => SecretsError::Locked("it has no place for keys".into()),
    }
}

/// The system asks by itself and in its own time.
#[cfg(any(windows, target_os = "macos"))]
#[derive(Default)]
struct KeyringLock;

#[cfg(any(windows, target_os = "macos"))]
impl KeyringLock {
    fn is_closed(&mut self) -> Result<bool, SecretsError> {
        Ok(false)
    }

    fn open(&mut self) -> Result<(), SecretsError> {
        Ok(())
    }
}

#[cfg(target_os = "macos")]
fn connect() -> Result<Arc<CredentialStore>, Error> {
    Ok(apple_native_keyring_store::keychain::Store::new()?)
}

#[cfg(windows)]
fn connect() -> Result<Arc<CredentialStore>, Error> {
    Ok(windows_native_keyring_store::Store::new()?)
}
