//! The cluster's certificate authority: keys, certificates, requests.
