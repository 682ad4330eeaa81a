//! Tests of `socks_front`.
