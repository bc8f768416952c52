//! The controllers: one module each, `plan` pure, `apply` dumb.
