//! Logs, exec, attach and port-forward: handed on to the agent of the pod's node.

pub(crate) mod client;
mod log_options;
mod log_socket;
pub(crate) mod target;
pub(crate) mod tunnel;

use controlplane_api::ApiError;

use crate::call::Call;
use crate::read::websocket;
use crate::reply::Reply;
use crate::server::Request;

/// Answers a request for one of the subresources that a pod's node serves.
///
/// # Errors
///
/// 400 where pod or container cannot be streamed from, 422 for what a log cannot be asked, 404, 503 where the node does not answer.
pub(crate) async fn connect(call: Call, subresource: &str, request: Request) -> Reply {
    if subresource == "log" {
        log_options::check(call.name(), &call.query)?;
        if websocket::is_asked_for(request.headers()) {
            let stop = call.server.stop.clone();
            let (upgrade, request) = websocket::handshake(request).await?;
            let log = hand_on(call, subresource, request).await?;
            return Ok(log_socket::reply(upgrade, log, stop));
        }
    }
    hand_on(call, subresource, request).await
}

async fn hand_on(call: Call, subresource: &str, request: Request) -> Reply {
    let nodes = call.server.nodes.as_ref();
    let nodes =
        nodes.ok_or_else(|| ApiError::service_unavailable("this server has no way to reach nodes"))?;
    let Some(target) = target::find(&call, subresource)? else {
        // A pod without a node has written nothing yet.
        return Ok(crate::reply::text(http::StatusCode::OK, ""));
    };
    tunnel::hand_on(&call.server, nodes, &target, request).await
}
