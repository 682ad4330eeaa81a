//! Step: one thing to do, and its subject.

use std::collections::BTreeSet;

use super::desired::{Door, Listener, Socks};
use crate::model::address::{ListenAddr, Port};
use crate::model::keys::ClientPublicKey;
use crate::model::name::ClientName;
use crate::model::onion::OnionAddress;

/// What a Step, and so a failure, is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Publishing or replacing a service, or opening its gates.
    Service(OnionAddress),
    /// Taking a service down.
    Withdrawal(OnionAddress),
    /// Handing over the key for a remote.
    Key(OnionAddress),
    /// Having tor forget the key for a remote.
    KeyRemoval(OnionAddress),
    /// Listening for an import.
    Listener(ListenAddr),
    /// The SOCKS server.
    Socks,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Stop listening, and close what came through.
    CloseListener(ListenAddr),
    /// Stop the SOCKS server.
    CloseSocks,
    /// Close a gate and its sessions: from now on nobody reaches that port.
    CloseGate(OnionAddress, Port),
    /// Close a service's circuits and take it down. Its gates are closed already.
    Withdraw(OnionAddress),
    /// Have tor forget the key for a remote.
    RemoveKey(OnionAddress),
    /// Open a gate, or only its socket where that is gone. It is there before tor knows of it.
    OpenGate(OnionAddress, Port, ClientName, Door),
    /// Give tor a service with these ports.
    Publish(OnionAddress, ClientPublicKey, BTreeSet<Port>),
    /// Give tor another list of ports for a service, in one go.
    Replace(OnionAddress, ClientPublicKey, BTreeSet<Port>),
    /// Listen for an import, or only make its socket again where that is gone.
    OpenListener(ListenAddr, Listener),
    /// Start the SOCKS server.
    OpenSocks(Socks),
    /// Hand tor the key for a remote. Last, since tor drops keys on some signals.
    AddKey(OnionAddress, ClientPublicKey),
}

impl Step {
    /// What it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::CloseListener(listen) | Self::OpenListener(listen, _) => Subject::Listener(listen.clone()),
            Self::CloseSocks | Self::OpenSocks(_) => Subject::Socks,
            Self::CloseGate(address, _)
            | Self::OpenGate(address, ..)
            | Self::Publish(address, ..)
            | Self::Replace(address, ..) => Subject::Service(*address),
            Self::Withdraw(address) => Subject::Withdrawal(*address),
            Self::AddKey(address, _) => Subject::Key(*address),
            Self::RemoveKey(address) => Subject::KeyRemoval(*address),
        }
    }
}
