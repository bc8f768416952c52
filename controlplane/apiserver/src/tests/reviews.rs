use super::*;

const SELF_ACCESS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const ACCESS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const RULES: &str = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const TOKENS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const TOKEN: &str = "/api/v1/namespaces/default/serviceaccounts/default/token";
const OWN: &str = "https://kubernetes.default.svc.cluster.local";

fn asks(verb: &str, resource: &str) -> Value {
    json!({"spec": {"resourceAttributes": {"verb": verb, "resource": resource, "namespace": "default"}}})
}

#[tokio::test]
async fn everybody_learns_who_they_are_and_what_they_may_do() {
    let api = Api::start().await;
    let nobody = api.as_user("ann", "dev");
    let answer = nobody.post(WHO, &json!({})).await;
    assert_eq!(answer.code, 201);
    assert_eq!(
        answer.body["status"],
        json!({"userInfo": {"username": "ann", "groups": ["dev", "system:authenticated"]}})
    );
    assert_eq!(
        answer.body["metadata"]["creationTimestamp"],
        "2026-01-02T03:04:05Z"
    );
    for (user, allowed) in [(&nobody, false), (&api, true)] {
        let answer = user.post(SELF_ACCESS, &asks("get", "pods")).await;
        assert_eq!(
            (answer.code, &answer.body["status"]["allowed"]),
            (201, &json!(allowed))
        );
    }
    let url = json!({"spec": {"nonResourceAttributes": {"verb": "get", "path": "/apis/apps"}}});
    assert_eq!(
        nobody.post(SELF_ACCESS, &url).await.body["status"]["allowed"],
        true
    );
    let rules = api.post(RULES, &json!({"spec": {"namespace": "default"}})).await;
    assert_eq!(rules.body["status"]["resourceRules"][0]["verbs"], json!(["*"]));
    assert_eq!(rules.body["status"]["incomplete"], false);
    let refused = api.post(RULES, &json!({"spec": {}})).await;
    assert_eq!(
        (refused.code, &refused.body["message"]),
        (400, &json!("no namespace on request"))
    );
    // Others' rights are for those to see who answer for them.
    assert_eq!(nobody.post(ACCESS, &asks("get", "pods")).await.code, 403);
    assert_eq!(
        nobody.post(TOKENS, &json!({"spec": {"token": "x"}})).await.code,
        403
    );
}

#[tokio::test]
async fn access_of_others_is_decided_as_their_requests_are() {
    let api = Api::start().await;
    for (user, groups, verb, resource, allowed) in [
        ("admin", vec!["system:masters"], "delete", "nodes", true),
        ("system:kube-scheduler", vec![], "list", "pods", true),
        ("system:node:a", vec!["system:nodes"], "list", "services", true),
        ("system:node:a", vec!["system:nodes"], "create", "services", false),
        ("system:node:a", vec!["system:nodes"], "list", "pods", false),
        ("eve", vec!["system:authenticated"], "get", "secrets", false),
    ] {
        let mut review = asks(verb, resource);
        review["spec"]["user"] = json!(user);
        review["spec"]["groups"] = json!(groups);
        let answer = api.post(ACCESS, &review).await;
        assert_eq!(
            answer.body["status"],
            json!({"allowed": allowed}),
            "{user} {verb} {resource}"
        );
    }
    let mut pinned = asks("list", "pods");
    pinned["spec"]["user"] = json!("system:node:a");
    pinned["spec"]["groups"] = json!(["system:nodes"]);
    pinned["spec"]["resourceAttributes"]["fieldSelector"] =
        json!({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["a"]}]});
    assert_eq!(api.post(ACCESS, &pinned).await.body["status"]["allowed"], true);
}

#[tokio::test]
async fn questions_that_are_none_are_refused_in_upstreams_words() {
    let api = Api::start().await;
    let local = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews";
    let resource = json!({"verb": "get", "resource": "pods", "namespace": "other"});
    for (path, review, causes) in [
        (
            ACCESS,
            json!({"metadata": {"name": "x"}, "spec": {}}),
            vec![
                "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes \
                 must be specified",
                "spec.user: Invalid value: \"\": at least one of user or group must be specified",
                "metadata: Invalid value: {\"name\":\"x\"}: must be empty",
            ],
        ),
        (
            SELF_ACCESS,
            json!({"spec": {"resourceAttributes": {}, "nonResourceAttributes": {"path": "/"}}}),
            vec![
                "spec.nonResourceAttributes: Invalid value: {\"path\":\"/\"}: cannot be specified in combination with \
                 resourceAttributes",
            ],
        ),
        (
            local,
            json!({"spec": {"user": "ann", "resourceAttributes": resource}}),
            vec![
                "spec.resourceAttributes.namespace: Invalid value: \"other\": must match metadata.namespace",
            ],
        ),
    ] {
        let answer = api.post(path, &review).await;
        assert_eq!(answer.code, 422, "{review}");
        let found: Vec<String> = answer.body["details"]["causes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cause| {
                format!(
                    "{}: {}",
                    cause["field"].as_str().unwrap(),
                    cause["message"].as_str().unwrap()
                )
            })
            .collect();
        assert_eq!(found, causes);
    }
    assert_eq!(api.get(ACCESS).await.code, 405);
}

/// A pod on node `a`, and the reference by which a token is bound to it.
async fn pod_and_reference(api: &Api) -> Value {
    let pod = json!({
        "metadata": {"name": "web"}, "spec": {"nodeName": "a", "containers": [{"name": "c", "image": "i"}]},
    });
    let pod = api.post(PODS, &pod).await;
    assert_eq!(pod.code, 201, "{}", pod.body);
    json!({"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": pod.body["metadata"]["uid"]})
}

/// What the server says of a token.
async fn review(api: &Api, spec: Value) -> Value {
    api.post(TOKENS, &json!({"spec": spec})).await.body["status"].clone()
}

#[tokio::test]
async fn a_token_says_whose_it_is_for_whom_and_for_how_long() {
    let api = Api::start().await;
    let bound = pod_and_reference(&api).await;
    let answer = api.post(TOKEN, &json!({"spec": {"boundObjectRef": bound}})).await;
    assert_eq!(answer.code, 201, "{}", answer.body);
    assert_eq!(answer.body["spec"]["expirationSeconds"], 3600);
    assert_eq!(answer.body["spec"]["audiences"], json!([OWN]));
    assert_eq!(
        answer.body["status"]["expirationTimestamp"],
        "2026-01-02T04:04:05Z"
    );
    let status = review(&api, json!({"token": answer.body["status"]["token"]})).await;
    assert_eq!(status["authenticated"], true);
    assert_eq!(status["audiences"], json!([OWN]));
    let user = &status["user"];
    assert_eq!(user["username"], "system:serviceaccount:default:default");
    let groups = json!([
        "system:serviceaccounts",
        "system:serviceaccounts:default",
        "system:authenticated"
    ]);
    assert_eq!(user["groups"], groups);
    assert_eq!(
        user["extra"]["authentication.kubernetes.io/pod-name"],
        json!(["web"])
    );
    assert_eq!(
        user["extra"]["authentication.kubernetes.io/node-name"],
        json!(["a"])
    );
}

#[tokio::test]
async fn a_token_ends_with_its_time_and_with_its_pod() {
    let api = Api::start().await;
    let wish = json!({"spec": {"boundObjectRef": pod_and_reference(&api).await}});
    let issue = async || {
        api.post(TOKEN, &wish).await.body["status"]["token"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let token = issue().await;
    let error = async |token: &str| review(&api, json!({"token": token})).await["error"].clone();
    assert_eq!(error(&token).await, Value::Null);
    let other = review(&api, json!({"token": token, "audiences": ["vault"]})).await;
    let wanted = format!("token audiences [\"{OWN}\"] is invalid for the target audiences [\"vault\"]");
    assert_eq!(other, json!({"user": {}, "error": wanted}));
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    assert_eq!(error(&forged).await, "invalid bearer token");
    api.clock.advance(3600);
    assert_eq!(error(&token).await, "service account token has expired");
    let fresh = issue().await;
    assert_eq!(error(&fresh).await, Value::Null);
    let gone = api.delete(&format!("{PODS}/web?gracePeriodSeconds=0")).await;
    assert_eq!(gone.code, 200);
    assert_eq!(error(&fresh).await, "service account token has been invalidated");
}

#[tokio::test]
async fn the_token_of_a_pods_own_volume_is_good_for_clients_that_never_read_it_again() {
    let api = Api::start().await;
    let bound = pod_and_reference(&api).await;
    let ask = async |spec: Value| api.post(TOKEN, &json!({"spec": spec})).await.body["status"].clone();
    let own = ask(json!({"boundObjectRef": bound, "expirationSeconds": 3607})).await;
    assert_eq!(
        own["expirationTimestamp"], "2026-01-02T04:04:12Z",
        "it is renewed by this"
    );
    let vault =
        ask(json!({"boundObjectRef": bound, "expirationSeconds": 3607, "audiences": ["vault"]})).await;
    let unbound = ask(json!({"expirationSeconds": 3607})).await;
    let good = async |token: &Value, audience: &str| {
        let spec = json!({"token": token["token"], "audiences": [audience]});
        review(&api, spec).await["authenticated"] == true
    };
    assert!(good(&vault, "vault").await && good(&unbound, OWN).await);
    api.clock.advance(3607);
    assert!(good(&own, OWN).await && !good(&vault, "vault").await && !good(&unbound, OWN).await);
    api.clock.advance(364 * 24 * 3600);
    assert!(good(&own, OWN).await);
    api.clock.advance(24 * 3600);
    assert!(!good(&own, OWN).await);
}

#[tokio::test]
async fn tokens_are_refused_for_what_is_not_there_or_not_the_accounts() {
    let api = Api::start().await;
    let ask = |spec: Value| {
        let api = api.clone();
        async move {
            let answer = api.post(TOKEN, &json!({"spec": spec})).await;
            (
                answer.code,
                answer.body["message"].as_str().unwrap_or_default().to_owned(),
            )
        }
    };
    assert_eq!(
        ask(json!({"expirationSeconds": 10})).await,
        (
            422,
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 10: may not specify \
             a duration less than 10 minutes"
                .to_owned()
        )
    );
    let of =
        |kind: &str, name: &str| json!({"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name}});
    assert_eq!(
        ask(of("Pod", "none")).await,
        (404, "pods \"none\" not found".to_owned())
    );
    assert_eq!(
        ask(of("ConfigMap", "none")).await,
        (
            400,
            "cannot bind token to object of type /v1, Kind=ConfigMap".to_owned()
        )
    );
    let gone = "/api/v1/namespaces/default/serviceaccounts/none/token";
    assert_eq!(api.post(gone, &json!({"spec": {}})).await.code, 404);
    // A node gets tokens for its own pods only.
    let pod = json!({"metadata": {"name": "web"}, "spec": {"nodeName": "a", "containers": [{"name": "c", "image": "i"}]}});
    let pod = api.post(PODS, &pod).await.body;
    let mut bound = of("Pod", "web");
    bound["boundObjectRef"]["uid"] = pod["metadata"]["uid"].clone();
    for (node, spec, code) in [
        ("a", bound.clone(), 201),
        ("b", bound, 403),
        ("a", of("Pod", "web"), 403),
        ("a", json!({}), 403),
    ] {
        let node = api.as_user(&format!("system:node:{node}"), "system:nodes");
        assert_eq!(
            node.post(TOKEN, &json!({"spec": spec})).await.code,
            code,
            "{spec}"
        );
    }
}

#[tokio::test]
async fn every_cluster_has_upstreams_classes_of_priority_and_requests() {
    let api = Api::start().await;
    let names = |answer: Answer| {
        let items = answer.body["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let classes = names(api.get("/apis/scheduling.k8s.io/v1/priorityclasses").await);
    assert_eq!(classes, ["system-cluster-critical", "system-node-critical"]);
    let flow = "/apis/flowcontrol.apiserver.k8s.io/v1";
    let levels = names(api.get(&format!("{flow}/prioritylevelconfigurations")).await);
    assert_eq!(levels.len(), 8, "{levels:?}");
    let schemas = names(api.get(&format!("{flow}/flowschemas")).await);
    assert_eq!(schemas.len(), 13, "{schemas:?}");
    let ranges = api
        .get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes")
        .await;
    assert_eq!(ranges.body["spec"]["cidrs"], json!(["10.43.0.0/16"]));
    let services = names(api.get("/apis/apiregistration.k8s.io/v1/apiservices").await);
    assert!(
        ["v1.", "v1.apps"]
            .iter()
            .all(|name| services.contains(&(*name).to_owned()))
    );
}
