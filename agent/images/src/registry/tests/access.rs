//! Whom a registry lets in, and to whom nothing is shown.

use super::*;
use crate::fixture::root_only;
use crate::registry::endpoint::{Endpoint, Security};
use crate::registry::fake::{Auth, Fault, blob_path};
use crate::registry::session::Session;
use crate::registry::token;

#[tokio::test]
async fn a_registry_that_wants_anonymous_tokens_is_given_one() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    fake.auth(Auth::Token(None));
    Node::new("").pull(&name).await.unwrap();
    let asked: Vec<_> = fake
        .seen()
        .into_iter()
        .filter(|s| s.uri.starts_with("/token"))
        .collect();
    assert_eq!(asked.len(), 1, "one token for all requests of a pull");
    assert!(asked[0].uri.contains("scope=repository%3Aa%3Apull") && asked[0].uri.contains("service=fake"));
}

#[tokio::test]
async fn credentials_open_a_token_service_and_basic_authentication() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    let ring = keyring(&fake.address.to_string(), &[("u", "p")]);
    for auth in [Auth::Token(Some(("u", "p"))), Auth::Basic("u", "p")] {
        fake.auth(auth);
        let node = Node::new("");
        let said = node.refused(&name).await;
        assert!(said.contains("imagePullSecrets"), "{said}");
        node.puller.pull(&name, &ring).await.unwrap();
    }
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_by_post() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    fake.auth(Auth::Identity("refresh-me"));
    let mut ring = Keyring::default();
    let host = fake.address.to_string();
    let entry = serde_json::json!({"auths": {host: {"username": "<token>", "identitytoken": "refresh-me"}}});
    ring.add_config_json(entry.to_string().as_bytes()).unwrap();
    Node::new("").puller.pull(&name, &ring).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_told_with_its_user_and_without_the_password() {
    let (fake, name) = registry().await;
    let ring = keyring(&fake.address.to_string(), &[("ann", "hunter2")]);
    for auth in [Auth::Token(Some(("u", "p"))), Auth::Basic("u", "p")] {
        fake.auth(auth);
        let said = Node::new("").refused_with(&name, &ring).await;
        assert!(said.contains("\"ann\"") && said.contains("401"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn several_credentials_are_tried_one_after_the_other() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    fake.auth(Auth::Basic("u", "p"));
    let ring = keyring(&fake.address.to_string(), &[("old", "gone"), ("u", "p")]);
    Node::new("").puller.pull(&name, &ring).await.unwrap();
}

#[tokio::test]
async fn the_credentials_file_of_the_node_is_read_at_each_pull() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    fake.auth(Auth::Basic("u", "p"));
    let node = Node::new("");
    let file = node.dir.path().join("credentials.json");
    let host = fake.address.to_string();
    let settings = format!(
        "[registry.\"{host}\"]\ncredentials_file = {:?}\n",
        file.display().to_string()
    );
    std::fs::write(node.dir.path().join("registries.toml"), settings).unwrap();
    assert!(node.refused(&name).await.contains("credentials.json"));
    let entry = serde_json::json!({"auths": {host: {"username": "u", "password": "p"}}});
    std::fs::write(&file, entry.to_string()).unwrap();
    node.pull(&name).await.unwrap();
}

#[tokio::test]
async fn a_private_image_is_open_to_pods_whose_credentials_were_accepted_and_to_no_other() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    fake.auth(Auth::Basic("u", "p"));
    let node = Node::new("");
    let host = fake.address.to_string();
    let (right, wrong) = (keyring(&host, &[("u", "p")]), keyring(&host, &[("u", "guess")]));
    node.puller.pull(&name, &right).await.unwrap();
    let open = |ring: &Keyring| node.store.is_open_to(&name, ring).unwrap();
    assert!(open(&right) && !open(&wrong) && !open(&Keyring::default()));
    node.refused_with(&name, &wrong).await;
    assert!(!open(&wrong));
    fake.auth(Auth::Basic("u", "guess"));
    node.puller.pull(&name, &wrong).await.unwrap();
    assert!(open(&wrong) && open(&right));
    fake.auth(Auth::Open);
    node.pull(&name).await.unwrap();
    assert!(open(&Keyring::default()));
}

#[tokio::test]
async fn a_private_image_is_no_more_open_by_its_id_than_by_its_name() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    fake.auth(Auth::Basic("u", "p"));
    let node = Node::new("");
    let host = fake.address.to_string();
    let (right, wrong) = (keyring(&host, &[("u", "p")]), keyring(&host, &[("u", "guess")]));
    let id = node.puller.pull(&name, &right).await.unwrap().image.id;
    let open = |ring: &Keyring| node.store.is_open_to(&id, ring).unwrap();
    assert!(open(&right) && !open(&wrong) && !open(&Keyring::default()));
    // One name that is open is enough.
    fake.image("free", "v1", &[layer("base"), layer("top")]);
    fake.auth(Auth::Open);
    assert_eq!(node.pull(&fake.name("free:v1")).await.unwrap().image.id, id);
    assert!(open(&Keyring::default()));
}

#[tokio::test]
async fn who_is_let_into_one_repository_is_not_let_into_another_that_has_the_same_image() {
    if !root_only() {
        return;
    }
    let (fake, app) = registry().await;
    fake.image("other", "v1", &[layer("base"), layer("top")]);
    let other = fake.name("other:v1");
    let node = Node::new("");
    let host = fake.address.to_string();
    let (first, second) = (keyring(&host, &[("u", "p")]), keyring(&host, &[("w", "q")]));
    for name in [&app, &other] {
        fake.auth(Auth::Basic("u", "p"));
        node.puller.pull(name, &first).await.unwrap();
    }
    let open = |name: &str, ring: &Keyring| node.store.is_open_to(name, ring).unwrap();
    fake.auth(Auth::Basic("w", "q"));
    node.puller.pull(&other, &second).await.unwrap();
    assert!(open(&other, &second) && open(&other, &first));
    assert!(open(&app, &first) && !open(&app, &second));
    fake.auth(Auth::Open);
    node.pull(&other).await.unwrap();
    assert!(open(&other, &Keyring::default()) && !open(&app, &Keyring::default()));
}

#[tokio::test]
async fn an_error_behind_a_redirect_names_the_host_and_not_the_signed_address() {
    let bytes = crate::fixture::gzip(&layer("base"));
    let blob = blob_path("app", &crate::digest::of(&bytes));
    let manifest = crate::registry::fake::manifest_path("app", "v1");
    // Nobody there, for a manifest and for a layer; a layer that breaks off; one that is refused.
    for (from, fault, words) in [
        (&manifest, None, "app:v1 at 127.0.0.1:"),
        (&blob, None, "layer sha256:"),
        (&blob, Some(Fault::Cut(5)), "read layer sha256:"),
        (&blob, Some(Fault::Status(503, None)), "answered 503"),
    ] {
        let ((fake, name), storage) = (registry().await, Fake::start().await);
        storage.put(blob.clone(), &bytes, "application/octet-stream");
        let is_there = fault.is_some();
        storage.fault(
            &blob,
            fault.iter().flat_map(|f| std::iter::repeat_n(f.clone(), 9)),
        );
        let host = if is_there {
            storage.address.to_string()
        } else {
            "127.0.0.1:1".to_owned()
        };
        let to = format!("http://{host}{blob}?X-Amz-Signature=hunter2");
        fake.fault(from, std::iter::repeat_n(Fault::Redirect(to), 9));
        let told = Node::new("").pull(&name).await.unwrap_err();
        let said = format!("{told} {told:?}");
        assert!(!said.contains("hunter2") && !said.contains("X-Amz"), "{said}");
        assert!(said.contains(words), "{said}");
        assert!(is_there || said.contains(" at 127.0.0.1: "), "{said}");
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_is_followed_without_credentials() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    let storage = Fake::start().await;
    let layers = [layer("base"), layer("top")].map(|l| crate::fixture::gzip(&l));
    for bytes in &layers {
        let path = blob_path("app", &crate::digest::of(bytes));
        storage.put(path.clone(), bytes, "application/octet-stream");
        let to = format!("http://{}{path}", storage.address);
        fake.fault(&path, [Fault::Redirect(to)]);
    }
    for auth in [Auth::Basic("u", "p"), Auth::Token(Some(("u", "p")))] {
        fake.auth(auth);
        let ring = keyring(&fake.address.to_string(), &[("u", "p")]);
        Node::new("").puller.pull(&name, &ring).await.unwrap();
        let seen = storage.seen();
        assert!(seen.iter().all(|s| s.authorization.is_none()), "{seen:?}");
    }
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_the_registry_where_it_fails() {
    if !root_only() {
        return;
    }
    let (fake, name) = registry().await;
    let mirror = Fake::start().await;
    fake.auth(Auth::Basic("u", "p"));
    let settings = format!(
        "[registry.\"{}\"]\nmirrors = [\"http://127.0.0.1:1\", \"http://{}/proxy\"]\n",
        fake.address, mirror.address
    );
    let ring = keyring(&fake.address.to_string(), &[("u", "p")]);
    Node::new(&settings).puller.pull(&name, &ring).await.unwrap();
    let asked = mirror.seen();
    assert!(
        !asked.is_empty() && asked.iter().all(|s| s.authorization.is_none()),
        "{asked:?}"
    );
    assert_eq!(
        asked[0].uri,
        format!("/v2/proxy/app/manifests/v1?ns={}", fake.address)
    );
    mirror.image("proxy/app", "v1", &[layer("mirrored")]);
    fake.seen();
    let node = Node::new(&settings);
    let image = node.puller.pull(&name, &ring).await.unwrap().image;
    assert!(image.layers[0].join("mirrored").exists());
    assert_eq!(fake.seen(), []);
    assert_eq!(image.repo_tags, [name]);
}

#[tokio::test]
async fn where_nobody_gives_the_image_every_answer_is_told() {
    let (fake, _) = registry().await;
    let settings = format!(
        "[registry.\"{}\"]\nmirrors = [\"http://127.0.0.1:1\"]\n",
        fake.address
    );
    let said = Node::new(&settings).refused(&fake.name("nope:v1")).await;
    assert!(
        said.contains("mirror 127.0.0.1:1") && said.contains("refused"),
        "{said}"
    );
    assert!(
        said.contains(&format!("registry {}", fake.address)) && said.contains("not found"),
        "{said}"
    );
}

#[tokio::test]
async fn a_registry_without_tls_is_told_as_one_with_the_key_to_set() {
    let (fake, name) = registry().await;
    let settings = format!("[registry.\"{}\"]\ninsecure = true\n", fake.address);
    let said = Node::new(&settings).refused(&name).await;
    assert!(said.contains("set plain_http = true"), "{said}");
}

#[tokio::test]
async fn a_registry_by_tls_cannot_send_for_a_token_by_plain_http() {
    let (fake, _) = registry().await;
    let endpoint = Endpoint {
        host: fake.address.to_string(),
        repository: "app".to_owned(),
        security: Security::Unverified,
        namespace: None,
        credentials_file: None,
    };
    let session = Session::new(endpoint, None, &patience()).await.unwrap();
    let realm = format!("http://{}/token", fake.address);
    let wanted = token::Wanted {
        realm: &realm,
        service: None,
        scope: None,
    };
    let refused = token::fetch(&session, "app", &wanted, None).await.unwrap_err();
    assert!(refused.to_string().contains("no https URL"), "{refused}");
    assert_eq!(fake.seen(), []);
}

#[tokio::test]
async fn a_name_that_is_none_is_told_apart() {
    let error = Node::new("").pull("NGINX:x y").await.unwrap_err();
    assert!(error.is_reference());
}

#[tokio::test]
async fn settings_that_are_wrong_are_the_reason() {
    let error = Node::new("colour = 1").pull("nginx").await.unwrap_err();
    let said = format!("{:?}", chain(&*error));
    assert!(
        said.contains("registries.toml") && said.contains("colour"),
        "{said}"
    );
}

fn chain(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(Some(error), |e| e.source())
        .map(ToString::to_string)
        .collect()
}

/// What the child of the next test does: its environment names a proxy.
#[tokio::test]
#[ignore = "run by another test, with a proxy in the environment"]
async fn pulls_from_a_registry_that_only_the_proxy_knows() {
    let node = Node::new("[registry.\"registry.test\"]\nplain_http = true\n");
    node.pull("registry.test/app:v1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_of_the_environment_is_used_for_documents_and_layers() {
    if !root_only() {
        return;
    }
    let (fake, _) = registry().await;
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact"])
        .arg("registry::tests::access::pulls_from_a_registry_that_only_the_proxy_knows")
        .env("HTTP_PROXY", format!("http://{}", fake.address))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap();
    assert!(
        child.status.success(),
        "{}",
        String::from_utf8_lossy(&child.stdout)
    );
    let asked: Vec<String> = fake.seen().into_iter().map(|seen| seen.uri).collect();
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert!(
        asked
            .iter()
            .all(|uri| uri.starts_with("http://registry.test/v2/app/")),
        "{asked:?}"
    );
}
