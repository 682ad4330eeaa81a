//! Invariant: what holds a secret can be neither printed, copied nor serialised. Checked by the compiler: where one of the traits is
//! implemented, the call below is ambiguous.

use std::fmt::{Debug, Display};

use ormesh_core::model::invite::{Invite, InviteKey};
use ormesh_core::model::keys::{ClientKey, Secret, ServiceKey};
use ormesh_core::secrets::file::FileStore;
use ormesh_core::secrets::keyring::KeyringStore;
use ormesh_core::secrets::memory::MemoryStore;
use ormesh_core::secrets::{SecretStore, Secrets};

macro_rules! never {
    ($trait:path: $($type:ty),+) => {$(
        const _: fn() = || {
            trait Either<A> {
                fn probe() {}
            }
            struct Yes;
            impl<T: ?Sized> Either<()> for T {}
            impl<T: ?Sized + $trait> Either<Yes> for T {}
            <$type as Either<_>>::probe();
        };
    )+};
}

never!(Debug: Secret, ServiceKey, ClientKey, Invite, InviteKey, Secrets, FileStore, KeyringStore, MemoryStore, dyn SecretStore);
never!(Display: Secret, ServiceKey, ClientKey, Invite, InviteKey);
never!(Clone: Secret, ServiceKey, ClientKey, Invite, InviteKey);
never!(serde::Serialize: Secret, ServiceKey, ClientKey, Invite, InviteKey);

/// The same question asked of a type that has the trait must not compile; this shows that the answer is seen at all.
#[test]
fn the_question_tells_the_two_apart() {
    trait Either<A> {
        fn answer() -> &'static str;
    }
    struct Yes;
    impl<T: ?Sized> Either<()> for T {
        fn answer() -> &'static str {
            "no"
        }
    }
    impl<T: ?Sized + Debug> Either<Yes> for T {
        fn answer() -> &'static str {
            "yes"
        }
    }
    assert_eq!(<Secret as Either<_>>::answer(), "no");
    assert_eq!(<str as Either<Yes>>::answer(), "yes");
}
