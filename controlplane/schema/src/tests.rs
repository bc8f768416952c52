//! The machinery of schemas over the built-in tables.

mod check;
mod strategic;
mod unknown;
