//! Tests of `lanes`.
