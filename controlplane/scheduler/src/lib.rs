//! Filter and score as pure functions, and a thin binder.
