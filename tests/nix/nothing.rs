//! Nothing: this manifest exists to have its dependency fetched.
