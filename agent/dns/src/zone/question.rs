//! What a name below the cluster's domain asks for.

/// A name of the cluster, by its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The domain itself.
    Apex,
    /// `dns-version.<zone>`.
    Version,
    /// `ns.dns.<zone>`, the name of the name server.
    Server,
    /// A name that has none but names below it: `svc`, `pod`, `dns`.
    Above,
    /// `<ns>.svc` or `<ns>.pod`.
    Namespace(String),
    /// `<service>.<ns>.svc`.
    Service(ServiceName),
    /// `<hostname>.<service>.<ns>.svc`.
    Endpoint(ServiceName, String),
    /// `_<port>._<protocol>.<service>.<ns>.svc`.
    Port(ServiceName, PortName),
    /// `_<protocol>.<service>.<ns>.svc`: above the names of ports.
    Protocol(ServiceName, String),
    /// `<a>-<b>-<c>-<d>.<ns>.pod`.
    Pod { namespace: String, label: String },
    /// Nothing that could exist.
    Nothing,
}

/// A Service by namespace and name, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ServiceName {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// A port by name and protocol, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PortName {
    pub(super) name: String,
    pub(super) protocol: String,
}

impl Wanted {
    /// Reads the labels below the domain, in lower case, the last one first.
    pub(super) fn read(labels: &[&str]) -> Self {
        match labels {
            [] => Self::Apex,
            ["dns-version"] => Self::Version,
            ["dns", "ns"] => Self::Server,
            ["svc" | "pod" | "dns"] => Self::Above,
            ["svc" | "pod", namespace] => Self::Namespace((*namespace).to_owned()),
            ["pod", namespace, label] => Self::Pod {
                namespace: (*namespace).to_owned(),
                label: (*label).to_owned(),
            },
            ["svc", namespace, name, rest @ ..] => {
                let service = ServiceName {
                    namespace: (*namespace).to_owned(),
                    name: (*name).to_owned(),
                };
                Self::below_service(service, rest)
            }
            _ => Self::Nothing,
        }
    }

    fn below_service(service: ServiceName, rest: &[&str]) -> Self {
        match rest {
            [] => Self::Service(service),
            [only] => match only.strip_prefix('_') {
                Some(protocol) => Self::Protocol(service, protocol.to_owned()),
                None => Self::Endpoint(service, (*only).to_owned()),
            },
            [protocol, port] => match (protocol.strip_prefix('_'), port.strip_prefix('_')) {
                // Unnamed ports have no name here: specification, 2.3.2.
                (Some(protocol), Some(name)) if !name.is_empty() => {
                    let port = PortName {
                        name: name.to_owned(),
                        protocol: protocol.to_owned(),
                    };
                    Self::Port(service, port)
                }
                _ => Self::Nothing,
            },
            _ => Self::Nothing,
        }
    }
}
