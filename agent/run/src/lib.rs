//! `floe-run`: back-off, mounts, journal streams and exit records around one container.
