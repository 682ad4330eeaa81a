//! Tests of `relay`.
