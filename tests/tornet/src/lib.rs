//! A private Tor network on loopback.
