//! Performs the steps of a plan.

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};

use super::cache::Slices;
use super::plan::Step;
use crate::error::{is_gone, is_namespace_ending};
use crate::meta;

/// Performs `steps`, makes first and removals last, so that no endpoint is missing in between.
pub(crate) async fn perform(
    client: &Client,
    slices: &Slices,
    namespace: &str,
    steps: Vec<Step>,
) -> Result<(), kube::Error> {
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    for step in steps {
        match step {
            Step::Create(slice) => match api.create(&PostParams::default(), &slice).await {
                Err(error) if is_namespace_ending(&error) => {}
                made => slices.wrote(made?),
            },
            Step::Update(slice) => {
                let name = meta::name(&slice.metadata);
                let made = api.replace(name, &PostParams::default(), &slice).await?;
                slices.wrote(made);
            }
            Step::Delete(slice) => remove(&api, slices, &slice).await?,
        }
    }
    Ok(())
}

async fn remove(api: &Api<EndpointSlice>, slices: &Slices, slice: &EndpointSlice) -> Result<(), kube::Error> {
    let params = DeleteParams::default().preconditions(Preconditions {
        uid: slice.metadata.uid.clone(),
        resource_version: None,
    });
    match api.delete(meta::name(&slice.metadata), &params).await {
        Err(error) if !is_gone(&error) => Err(error),
        _ => {
            slices.removed(slice);
            Ok(())
        }
    }
}
