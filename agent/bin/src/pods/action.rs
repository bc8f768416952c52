//! What probes and hooks do: run a command, fetch a page, open a connection, sleep.

use agent_systemd::UnitManager;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use agent_core::probe::Timing;
use agent_runtime::exec::{self, ContainerRef, ExecRequest};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{
    Container, ExecAction, HTTPGetAction, LifecycleHandler, Pod, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::{Context, grpc};

/// As what a probe introduces itself.
pub(super) const USER_AGENT: &str = "kube-probe/1.36+floe";

/// Bytes of an answer or output that are looked at.
const LIMIT: usize = 10 << 10;

/// The container that an action is for.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) pod: Arc<Pod>,
    pub(super) uid: String,
    pub(super) container: Container,
    /// Where its ports are.
    pub(super) address: Option<IpAddr>,
}

/// Runs a probe's action once; the error is what the `Unhealthy` event says.
pub(super) async fn probe<U: UnitManager + 'static>(
    context: &Arc<Context<U>>,
    target: &Target,
    probe: &Probe,
) -> Result<(), String> {
    if let Some(action) = &probe.exec {
        return run(context, target, action).await;
    }
    if let Some(action) = &probe.http_get {
        return get(target, action).await;
    }
    if let Some(action) = &probe.tcp_socket {
        return open(target, action).await;
    }
    if let Some(action) = &probe.grpc {
        let port = IntOrString::Int(action.port);
        let address = address(target, None, &port).await?;
        let service = action.service.as_deref().unwrap_or_default();
        return grpc::check(address, service, Timing::of(probe).timeout).await;
    }
    Ok(())
}

/// Runs a hook once.
pub(super) async fn hook<U: UnitManager + 'static>(
    context: &Arc<Context<U>>,
    target: &Target,
    hook: &LifecycleHandler,
) -> Result<(), String> {
    if let Some(action) = &hook.exec {
        return run(context, target, action).await;
    }
    if let Some(action) = &hook.http_get {
        return get(target, action).await;
    }
    if let Some(action) = &hook.tcp_socket {
        return open(target, action).await;
    }
    let seconds = hook
        .sleep
        .as_ref()
        .and_then(|sleep| u64::try_from(sleep.seconds).ok())
        .unwrap_or(0);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    Ok(())
}

async fn run<U: UnitManager + 'static>(
    context: &Arc<Context<U>>,
    target: &Target,
    action: &ExecAction,
) -> Result<(), String> {
    let container = ContainerRef {
        uid: target.uid.clone(),
        container: target.container.name.clone(),
    };
    let command = action.command.clone().unwrap_or_default();
    let request = ExecRequest {
        command,
        ..ExecRequest::default()
    };
    let text = |error: anyhow::Error| format!("{error:#}");
    let mut process = exec::spawn(&context.paths, &container, &request)
        .await
        .map_err(|error| text(error.into()))?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
    let both = async {
        tokio::join!(read_some(stdout, &mut out), read_some(stderr, &mut err));
    };
    let (status, ()) = tokio::join!(process.wait(), both);
    let status = status.map_err(|error| text(error.into()))?;
    if status.success() {
        return Ok(());
    }
    out.extend(err);
    Err(format!(
        "command failed ({status}): {}",
        String::from_utf8_lossy(&out)
    ))
}

/// Reads to the end and keeps the beginning, so that a talkative command does not block.
async fn read_some<R: tokio::io::AsyncRead + Unpin>(from: Option<R>, into: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut buffer = [0_u8; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let room = LIMIT.saturating_sub(into.len()).min(count);
        into.extend(buffer.get(..room).unwrap_or_default());
    }
}

async fn open(target: &Target, action: &TCPSocketAction) -> Result<(), String> {
    let address = address(target, action.host.as_deref(), &action.port).await?;
    let opened = TcpStream::connect(address).await;
    opened
        .map(drop)
        .map_err(|error| format!("dial tcp {address}: {error}"))
}

async fn get(target: &Target, action: &HTTPGetAction) -> Result<(), String> {
    let address = address(target, action.host.as_deref(), &action.port).await?;
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("Get \"{}\": dial tcp {address}: {error}", url(action, address)))?;
    let request = request(action, address)?;
    let status = if action.scheme.as_deref() == Some("HTTPS") {
        let stream = unverified_tls(stream, address).await?;
        send(TokioIo::new(stream), request).await
    } else {
        send(TokioIo::new(stream), request).await
    };
    let status = status.map_err(|error| format!("Get \"{}\": {error}", url(action, address)))?;
    if (200..400).contains(&status) {
        Ok(())
    } else {
        Err(format!("HTTP probe failed with statuscode: {status}"))
    }
}

fn url(action: &HTTPGetAction, address: SocketAddr) -> String {
    let scheme = action.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
    format!("{scheme}://{address}{}", path(action))
}

fn path(action: &HTTPGetAction) -> String {
    let path = action.path.as_deref().unwrap_or("/");
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

fn request(action: &HTTPGetAction, address: SocketAddr) -> Result<Request<Empty<Bytes>>, String> {
    let uri: Uri = path(action)
        .parse()
        .map_err(|error| format!("path {:?}: {error}", path(action)))?;
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    let host = action.host.clone().unwrap_or_else(|| address.to_string());
    let fixed = [
        (http::header::HOST, host),
        (http::header::USER_AGENT, USER_AGENT.to_owned()),
        (http::header::ACCEPT, "*/*".to_owned()),
    ];
    for (name, value) in fixed {
        headers.insert(
            name,
            HeaderValue::from_str(&value).map_err(|error| error.to_string())?,
        );
    }
    for header in action.http_headers.iter().flatten() {
        let name: HeaderName = header
            .name
            .parse()
            .map_err(|_| format!("header name {:?}", header.name))?;
        let value = HeaderValue::from_str(&header.value).map_err(|_| format!("value of header {name}"))?;
        headers.insert(name, value);
    }
    Ok(request)
}

async fn send<S>(stream: TokioIo<S>, request: Request<Empty<Bytes>>) -> Result<u16, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
        .await
        .map_err(|error| error.to_string())?;
    let exchange = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        // Read, so that a server is not cut off in the middle; more than this is not our business.
        drop(Limited::new(answer.into_body(), LIMIT).collect().await);
        drop(sender);
        Ok(status)
    };
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    let mut open = true;
    loop {
        tokio::select! {
            // Cancel-safe: pinned outside the loop.
            result = &mut exchange => return result,
            // Cancel-safe: pinned outside the loop.
            _ = &mut connection, if open => open = false,
        }
    }
}

/// TLS that believes any certificate, as probes do: they ask whether it works, not who it is.
async fn unverified_tls(
    stream: TcpStream,
    address: SocketAddr,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(super::probing::AnyCertificate(Arc::clone(&provider)));
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = rustls_pki_types::ServerName::from(address.ip());
    connector
        .connect(name, stream)
        .await
        .map_err(|error| format!("tls: {error}"))
}

async fn address(target: &Target, host: Option<&str>, port: &IntOrString) -> Result<SocketAddr, String> {
    let port = port_number(&target.container, port)?;
    let Some(host) = host.filter(|host| !host.is_empty()) else {
        let ip = target.address.ok_or("the pod has no address yet")?;
        return Ok(SocketAddr::new(ip, port));
    };
    let mut found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| format!("lookup {host}: {error}"))?;
    found.next().ok_or_else(|| format!("lookup {host}: no address"))
}

fn port_number(container: &Container, port: &IntOrString) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let named = container
                .ports
                .iter()
                .flatten()
                .find(|p| p.name.as_deref() == Some(name));
            named
                .map(|port| port.container_port)
                .or_else(|| name.parse().ok())
        }
    };
    let number = number
        .and_then(|number| u16::try_from(number).ok())
        .filter(|number| *number > 0);
    number.ok_or_else(|| format!("invalid port {port:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ContainerPort;
    use tokio::io::AsyncWriteExt as _;

    fn target() -> Target {
        let port = ContainerPort {
            name: Some("web".to_owned()),
            container_port: 80,
            ..ContainerPort::default()
        };
        Target {
            pod: Arc::new(Pod::default()),
            uid: "u".to_owned(),
            container: Container {
                ports: Some(vec![port]),
                ..Container::default()
            },
            address: Some(IpAddr::from([127, 0, 0, 1])),
        }
    }

    #[test]
    fn a_named_port_is_found_and_an_unknown_one_is_refused() {
        let named = |name: &str| port_number(&target().container, &IntOrString::String(name.to_owned()));
        assert_eq!(named("web"), Ok(80));
        assert_eq!(named("8080"), Ok(8080));
        assert!(named("other").is_err());
    }

    async fn answer(status: &'static str) -> Result<(), String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = i32::from(listener.local_addr().unwrap().port());
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = vec![0; 1024];
            let count = stream.read(&mut seen).await.unwrap();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            assert!(String::from_utf8_lossy(&seen[..count]).contains(USER_AGENT));
        };
        let action = HTTPGetAction {
            port: IntOrString::Int(port),
            path: Some("x".to_owned()),
            ..HTTPGetAction::default()
        };
        let target = target();
        tokio::join!(get(&target, &action), serve).0
    }

    #[tokio::test]
    async fn status_200_to_399_is_a_success_and_anything_else_is_told() {
        assert_eq!(answer("204 No Content").await, Ok(()));
        assert_eq!(answer("302 Found").await, Ok(()));
        let refused = answer("500 Oops").await;
        assert_eq!(refused, Err("HTTP probe failed with statuscode: 500".to_owned()));
    }
}
