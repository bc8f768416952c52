//! The pod state machine: desired and observed state in, steps and status out. No I/O.
