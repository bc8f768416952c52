//! Quotas of namespaces, counted with each write.

use super::*;

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";

fn quota(name: &str, hard: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard}})
}

async fn used(api: &Api, name: &str) -> Value {
    api.get(&format!("{QUOTAS}/{name}")).await.body["status"]["used"].clone()
}

#[tokio::test]
async fn a_quota_shows_the_life_of_its_pods_and_refuses_what_is_too_much() {
    let api = Api::start().await;
    let asking = |name: &str, cpu: &str| {
        let mut pod = pod(name);
        pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": cpu}});
        pod
    };
    assert_eq!(api.post(PODS, &asking("before", "250m")).await.code, 201);
    let made = api
        .post(QUOTAS, &quota("q", json!({"requests.cpu": "1", "pods": "3"})))
        .await;
    assert_eq!(
        made.body["status"],
        json!({"hard": {"requests.cpu": "1", "pods": "3"}, "used": {"requests.cpu": "250m", "pods": "1"}})
    );
    assert_eq!(api.post(PODS, &asking("a", "500m")).await.code, 201);
    assert_eq!(
        used(&api, "q").await,
        json!({"requests.cpu": "750m", "pods": "2"})
    );
    let why = "pods \"b\" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=750m, limited: \
               requests.cpu=1";
    assert_eq!(refusal(&api.post(PODS, &asking("b", "500m")).await), (403, why));
    let why = "pods \"c\" is forbidden: failed quota: q: must specify requests.cpu for: c";
    assert_eq!(refusal(&api.post(PODS, &pod("c")).await), (403, why));
    let ended = json!({"status": {"phase": "Succeeded"}});
    assert_eq!(
        api.patch(&format!("{PODS}/a/status"), "merge-patch+json", &ended)
            .await
            .code,
        200
    );
    assert_eq!(
        used(&api, "q").await,
        json!({"requests.cpu": "250m", "pods": "1"})
    );
    assert_eq!(api.delete(&format!("{PODS}/before")).await.code, 200);
    assert_eq!(used(&api, "q").await, json!({"requests.cpu": "0", "pods": "0"}));
    let less = json!({"spec": {"hard": {"pods": "7"}}});
    let changed = api
        .patch(&format!("{QUOTAS}/q"), "merge-patch+json", &less)
        .await
        .body;
    assert_eq!(changed["status"]["hard"]["pods"], "7");
}

#[tokio::test]
async fn a_quota_counts_objects_of_every_kind() {
    let api = Api::start().await;
    let hard = json!({"configmaps": "2", "count/deployments.apps": "1", "services.nodeports": "1", "resourcequotas": "1"});
    assert_eq!(api.post(QUOTAS, &quota("q", hard)).await.code, 201);
    let map = config_map("m");
    assert_eq!(api.post(CONFIG_MAPS, &map).await.code, 201);
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]},
    });
    let why = "services \"s\" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, \
               limited: services.nodeports=1";
    assert_eq!(
        refusal(&api.post("/api/v1/namespaces/default/services", &service).await),
        (403, why)
    );
    let why = "resourcequotas \"r\" is forbidden: exceeded quota: q, requested: resourcequotas=1, used: resourcequotas=1, \
               limited: resourcequotas=1";
    assert_eq!(
        refusal(&api.post(QUOTAS, &quota("r", json!({"pods": "1"}))).await),
        (403, why)
    );
    let counts = used(&api, "q").await;
    assert_eq!(
        (&counts["configmaps"], &counts["resourcequotas"]),
        (&json!("1"), &json!("1"))
    );
    assert_eq!(api.delete(&format!("{CONFIG_MAPS}/m")).await.code, 200);
    assert_eq!(used(&api, "q").await["configmaps"], "0");
}

#[tokio::test]
async fn many_at_once_use_no_more_than_there_is() {
    let api = Api::start().await;
    assert_eq!(
        api.post(QUOTAS, &quota("q", json!({"configmaps": "5"})))
            .await
            .code,
        201
    );
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..12 {
        let api = api.clone();
        tasks.spawn(async move {
            api.post(CONFIG_MAPS, &config_map(&format!("m{number}")))
                .await
                .code
        });
    }
    let mut codes = tasks.join_all().await;
    codes.sort_unstable();
    assert_eq!(codes, [vec![201; 5], vec![403; 7]].concat());
    assert_eq!(used(&api, "q").await["configmaps"], "5");
}
