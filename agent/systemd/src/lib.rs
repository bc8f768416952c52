//! The service manager: transient slices and services over D-Bus.
