//! CNI as a consumer: conflists read, plugins called, results cached.
