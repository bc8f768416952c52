//! The gRPC probe: `grpc.health.v1.Health/Check` (gRPC, "Health Checking"), in the kubelet's words.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Request, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::action::USER_AGENT;

/// Longest answer that is read, bytes.
const LIMIT: usize = 4096;

/// The tasks of one connection; they end with it.
#[derive(Debug, Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(async move { drop(task.await) });
    }
}

/// Asks the server at `address` about `service` (the whole server where it is empty); the error is what
/// the `Unhealthy` event says.
pub(super) async fn check(address: SocketAddr, service: &str, timeout: Duration) -> Result<(), String> {
    let unreachable =
        |error: &dyn std::fmt::Display| format!("error: failed to connect service at \"{address}\": {error}");
    let stream = TcpStream::connect(address).await.map_err(|e| unreachable(&e))?;
    // Dropped at the end of this function, and by the prober's own limit: no task outlives the probe.
    let tasks = Tasks::default();
    let (sender, connection) = hyper::client::conn::http2::handshake(tasks.clone(), TokioIo::new(stream))
        .await
        .map_err(|e| unreachable(&e))?;
    hyper::rt::Executor::execute(&tasks, connection);
    let origin: Uri = format!("http://{address}").parse().map_err(|e| unreachable(&e))?;
    let send = tower::service_fn(move |mut request: Request<tonic::body::Body>| {
        let agent = HeaderValue::from_static(USER_AGENT);
        request.headers_mut().insert(header::USER_AGENT, agent);
        let mut sender = sender.clone();
        async move { sender.send_request(request).await }
    });
    let mut client = HealthClient::with_origin(send, origin).max_decoding_message_size(LIMIT);
    let mut request = tonic::Request::new(HealthCheckRequest {
        service: service.to_owned(),
    });
    request.set_timeout(timeout);
    let answer = client
        .check(request)
        .await
        .map_err(|status| refusal(&status, timeout))?;
    match answer.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        other => Err(format!(
            "service unhealthy (responded with \"{}\")",
            other.as_str_name()
        )),
    }
}

fn refusal(status: &Status, timeout: Duration) -> String {
    let message = status.message();
    match status.code() {
        Code::Unimplemented => format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
        ),
        Code::DeadlineExceeded => {
            format!(
                "timeout: health rpc did not complete within {}s",
                timeout.as_secs()
            )
        }
        code => format!("error: health rpc probe failed: {code:?}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::body::Incoming;
    use tokio::net::TcpListener;
    use tonic_health::ServingStatus as Health;
    use tower::ServiceExt as _;

    /// A server that takes one connection for each probe, and its address.
    async fn server(statuses: &[(&str, Health)]) -> (SocketAddr, JoinSet<()>) {
        let (reporter, health) = tonic_health::server::health_reporter();
        for (service, status) in statuses {
            reporter.set_service_status(*service, *status).await;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let serving = Tasks::default();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let health = health.clone();
                let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
                    health.clone().oneshot(request)
                });
                let connection = hyper::server::conn::http2::Builder::new(serving.clone())
                    .serve_connection(TokioIo::new(stream), answer);
                hyper::rt::Executor::execute(&serving, connection);
            }
        });
        (address, tasks)
    }

    async fn ask(address: SocketAddr, service: &str) -> Result<(), String> {
        check(address, service, Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn a_serving_service_passes_and_any_other_is_told() {
        let statuses = [("", Health::Serving), ("db", Health::NotServing)];
        let (address, _server) = server(&statuses).await;
        assert_eq!(ask(address, "").await, Ok(()));
        let unhealthy = "service unhealthy (responded with \"NOT_SERVING\")".to_owned();
        assert_eq!(ask(address, "db").await, Err(unhealthy));
        let unknown = ask(address, "other").await.unwrap_err();
        assert!(
            unknown.starts_with("error: health rpc probe failed: NotFound"),
            "{unknown}"
        );
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_or_nobody_speaks_grpc_fails() {
        let (address, server) = server(&[]).await;
        drop(server);
        let refused = ask(address, "").await.unwrap_err();
        assert!(refused.contains("failed to connect service"), "{refused}");
        let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = plain.local_addr().unwrap();
        let serve = async {
            let (mut stream, _) = plain.accept().await.unwrap();
            let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer)
                .await
                .unwrap();
        };
        let (asked, ()) = tokio::join!(ask(address, ""), serve);
        assert!(asked.is_err(), "{asked:?}");
    }

    #[tokio::test]
    async fn a_server_without_the_health_service_is_named_so() {
        let status = Status::unimplemented("x");
        let said = refusal(&status, Duration::from_secs(1));
        assert!(
            said.contains("does not implement the grpc health protocol"),
            "{said}"
        );
    }
}
