//! The API server: routes, content types, authentication, admission, watch streams.
