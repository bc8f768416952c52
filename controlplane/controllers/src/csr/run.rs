//! The controller over certificate requests.

use std::sync::Arc;

use controlplane_apimachinery::condition;
use controlplane_pki::{CertificateAuthority, CsrFacts, SigningPolicy};
use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DeleteParams, PostParams};
use kube::runtime::controller::{Action, trigger_self};
use kube::runtime::reflector::store;
use kube::runtime::{WatchStreamExt, watcher};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::plan::{Observed, Step, plan};
use super::rules::node_name;
use crate::drive::{drive, watch};
use crate::error::{Attempt, ReconcileError, is_gone};
use crate::meta;

struct Context {
    client: Client,
    signer: Arc<CertificateAuthority>,
}

/// Runs the controller until `stop`.
pub(crate) async fn run(client: Client, signer: Arc<CertificateAuthority>, stop: CancellationToken) {
    let (requests, writer) = store();
    let own = watch(Api::all(client.clone()), watcher::Config::default())
        .reflect(writer)
        .applied_objects();
    drive(
        "certificatesigningrequest",
        requests,
        vec![trigger_self(own, ()).boxed()],
        Arc::new(Context { client, signer }),
        |csr, context| async move { reconcile(&csr, &context).await },
        stop,
    )
    .await;
}

async fn reconcile(csr: &CertificateSigningRequest, context: &Context) -> Result<Action, ReconcileError> {
    let name = meta::name(&csr.metadata);
    let facts = CsrFacts::parse(&csr.spec.request.0);
    let node = match facts.as_ref().ok().and_then(node_name) {
        Some(node) if csr.spec.signer_name == "kubernetes.io/kubelet-serving" => {
            let nodes: Api<Node> = Api::all(context.client.clone());
            nodes.get_opt(node).await.attempt("read node", node)?
        }
        _ => None,
    };
    let step = plan(&Observed {
        csr,
        facts: facts.as_ref().map_err(ToString::to_string),
        node: node.as_ref(),
        now: Timestamp::now(),
    });
    let api: Api<CertificateSigningRequest> = Api::all(context.client.clone());
    match step {
        Step::Wait(pause) => {
            let pause = pause.try_into().unwrap_or_default();
            return Ok(Action::requeue(pause));
        }
        Step::Delete => match api.delete(name, &DeleteParams::default()).await {
            Err(error) if !is_gone(&error) => {
                Err(error).attempt("delete certificate request", name)?;
            }
            _ => {}
        },
        Step::Approve(message) => approve(&api, csr, message).await?,
        Step::Sign(policy) => sign(&api, csr, &policy, &context.signer).await?,
        Step::Fail(message) => fail(&api, csr, message).await?,
    }
    Ok(Action::await_change())
}

async fn approve(
    api: &Api<CertificateSigningRequest>,
    csr: &CertificateSigningRequest,
    message: &str,
) -> Result<(), ReconcileError> {
    let name = meta::name(&csr.metadata);
    let body = with_condition(csr, "Approved", "AutoApproved", message.to_owned());
    api.replace_subresource("approval", name, &PostParams::default(), &body)
        .await
        .attempt("approve certificate request", name)?;
    info!(
        request = name,
        user = csr.spec.username,
        "certificate request approved"
    );
    Ok(())
}

async fn sign(
    api: &Api<CertificateSigningRequest>,
    csr: &CertificateSigningRequest,
    policy: &SigningPolicy,
    signer: &CertificateAuthority,
) -> Result<(), ReconcileError> {
    let name = meta::name(&csr.metadata);
    let pem = match signer.sign_csr(&csr.spec.request.0, policy, Timestamp::now()) {
        Ok(pem) => pem,
        Err(error) => return fail(api, csr, error.to_string()).await,
    };
    let mut body = csr.clone();
    body.status.get_or_insert_default().certificate = Some(ByteString(pem.into_bytes()));
    api.replace_status(name, &PostParams::default(), &body)
        .await
        .attempt("write certificate of request", name)?;
    info!(request = name, "certificate signed");
    Ok(())
}

async fn fail(
    api: &Api<CertificateSigningRequest>,
    csr: &CertificateSigningRequest,
    message: String,
) -> Result<(), ReconcileError> {
    let name = meta::name(&csr.metadata);
    let body = with_condition(csr, "Failed", "SignerValidationFailure", message);
    api.replace_status(name, &PostParams::default(), &body)
        .await
        .attempt("write failure of certificate request", name)?;
    Ok(())
}

fn with_condition(
    csr: &CertificateSigningRequest,
    type_: &str,
    reason: &str,
    message: String,
) -> CertificateSigningRequest {
    let now = Timestamp::now();
    let mut body = csr.clone();
    let status = body.status.get_or_insert_default();
    let wanted = CertificateSigningRequestCondition {
        type_: type_.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(Time(now)),
        last_transition_time: None,
    };
    condition::set(status.conditions.get_or_insert_default(), wanted, now);
    body
}
