//! `ImageLocality`: nodes that have a pod's images already.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeStatus, PodSpec};

use crate::facts::PodFacts;
use crate::filter::Candidate;

const MEGABYTE: i64 = 1024 * 1024;
/// Below so much a container, images make no difference.
const LEAST: i64 = 23 * MEGABYTE;
/// So much a container is the best there is.
const MOST: i64 = 1000 * MEGABYTE;

/// Sizes of a node's images under each of their names.
pub(crate) fn held(status: &NodeStatus) -> BTreeMap<String, i64> {
    let images = status.images.iter().flatten();
    images
        .flat_map(|image| {
            let size = image.size_bytes.unwrap_or_default();
            image.names.iter().flatten().map(move |name| (name.clone(), size))
        })
        .collect()
}

/// The images of a pod in the form in which nodes name them.
pub(crate) fn wanted(spec: &PodSpec) -> Vec<String> {
    let all = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    all.filter_map(|container| container.image.as_deref())
        .map(with_tag)
        .collect()
}

fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

/// The score from 0 to 100 of each candidate. An image that few nodes have counts for less, so that
/// pods do not all crowd around it.
pub(crate) fn scores(pod: &PodFacts, candidates: &[Candidate<'_>]) -> Vec<i64> {
    let nodes = count(candidates.len()).max(1);
    let spread: Vec<(&String, i64)> = pod
        .images
        .iter()
        .map(|image| {
            let having = candidates
                .iter()
                .filter(|one| one.facts.images.contains_key(image));
            (image, count(having.count()))
        })
        .collect();
    let containers = count(pod.images.len()).max(1);
    let (least, most) = (LEAST, MOST.saturating_mul(containers));
    candidates
        .iter()
        .map(|candidate| {
            let sizes = spread.iter().map(|(image, having)| {
                let size = candidate.facts.images.get(*image).copied().unwrap_or_default();
                size.saturating_mul(*having) / nodes
            });
            let sum = sizes.sum::<i64>().clamp(least, most);
            100 * (sum - least) / (most - least)
        })
        .collect()
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{Decision, decide};
    use crate::snapshot::Snapshot;
    use crate::testing::{node, pod};

    #[test]
    fn names_without_a_tag_are_latest() {
        for (image, expected) in [
            ("nginx", "nginx:latest"),
            ("host:5000/nginx", "host:5000/nginx:latest"),
            ("nginx:1", "nginx:1"),
            ("nginx@sha256:00", "nginx@sha256:00"),
        ] {
            assert_eq!(with_tag(image), expected);
        }
    }

    #[test]
    fn among_equal_nodes_one_that_has_the_image_is_taken() {
        let mut snapshot = Snapshot::default();
        for name in ["a", "b", "c"] {
            let mut facts = node(name, 1000);
            if name == "b" {
                facts.images = [("big:latest".to_owned(), 900 * MEGABYTE)].into();
            }
            snapshot.set_node(facts);
        }
        let mut wanting = pod("p", 100);
        wanting.images = vec!["big:latest".to_owned()];
        for seed in 0..5 {
            assert_eq!(decide(&wanting, &snapshot, seed), Decision::Node("b".into()));
        }
    }
}
