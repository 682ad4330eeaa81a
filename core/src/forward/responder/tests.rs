//! Tests of `responder`.
