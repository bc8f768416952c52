//! What a stream is for, by its headers. Pure.
//!
//! Source: core/v1 `StreamType`, `PortHeader`, `PortForwardRequestIDHeader`; kubelet, `portforward/httpstream.go`.

use agent_streams::spdy::{Headers, StreamId};

/// The two streams of a forwarded connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Carries a message to the client where forwarding fails, else just its end.
    Error,
    /// Carries the connection's bytes.
    Data,
}

/// A stream's part in a forwarded connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamRequest {
    /// Which of the two it is.
    pub(crate) role: Role,
    /// Port in the pod.
    pub(crate) port: u16,
    /// Joins the two.
    pub(crate) request: String,
}

impl StreamRequest {
    /// Reads the headers of `stream`; `None` where they make no sense.
    ///
    /// Clients older than request numbers open the error stream right before the data stream.
    pub(crate) fn parse(stream: StreamId, headers: &Headers) -> Option<Self> {
        let (role, first) = match headers.get("streamtype")? {
            "error" => (Role::Error, stream),
            "data" => (Role::Data, stream.saturating_sub(2)),
            _ => return None,
        };
        let port = headers.get("port")?.parse().ok().filter(|port| *port > 0)?;
        let request = match headers.get("requestid") {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => first.to_string(),
        };
        Some(Self { role, port, request })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_streams_of_an_old_client_find_each_other() {
        let of = |role| Headers::from([("streamtype", role), ("port", "80")]);
        let error = StreamRequest::parse(5, &of("error")).unwrap();
        let data = StreamRequest::parse(7, &of("data")).unwrap();
        assert_eq!((error.role, data.role), (Role::Error, Role::Data));
        assert_eq!(error.request, data.request);
    }

    #[test]
    fn headers_that_make_no_sense_are_refused() {
        for (role, port) in [("data", "0"), ("data", "65536"), ("data", ""), ("talk", "80")] {
            let headers = Headers::from([("streamtype", role), ("port", port)]);
            assert_eq!(StreamRequest::parse(1, &headers), None, "{role} {port}");
        }
        assert_eq!(StreamRequest::parse(1, &Headers::default()), None);
    }
}
