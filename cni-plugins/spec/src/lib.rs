//! The CNI 1.1 protocol: environment, stdin, results and error codes.
