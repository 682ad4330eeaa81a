//! Tests of `dialler`.
