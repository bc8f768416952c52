use super::*;

#[tokio::test]
async fn a_watch_without_a_version_begins_with_what_is_there() {
    let api = Api::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await;
    let mut events = api.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    assert_eq!(events.words().await, "ADDED a");
    api.patch(
        &format!("{CONFIG_MAPS}/a"),
        "merge-patch+json",
        &json!({"data": {"k": "w"}}),
    )
    .await;
    assert_eq!(events.words().await, "MODIFIED a");
    api.post(CONFIG_MAPS, &config_map("b")).await;
    assert_eq!(events.words().await, "ADDED b");
    api.delete(&format!("{CONFIG_MAPS}/a")).await;
    let deleted = events.next().await.unwrap();
    assert_eq!(
        (&deleted["type"], &deleted["object"]["data"]["k"]),
        (&json!("DELETED"), &json!("w"))
    );
    let version: u64 = deleted["object"]["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(version, api.server.0.store.revision().get());
}

#[tokio::test]
async fn a_resumed_watch_misses_no_event_and_repeats_none() {
    let api = Api::start().await;
    let first = api.post(CONFIG_MAPS, &config_map("a")).await.body;
    for name in ["b", "c"] {
        api.post(CONFIG_MAPS, &config_map(name)).await;
    }
    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    let mut events = api
        .watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={version}"))
        .await;
    assert_eq!(
        (events.words().await, events.words().await),
        ("ADDED b".to_owned(), "ADDED c".to_owned())
    );
    api.post(CONFIG_MAPS, &config_map("d")).await;
    assert_eq!(events.words().await, "ADDED d");
}

#[tokio::test]
async fn initial_events_end_with_an_annotated_bookmark() {
    let api = Api::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await;
    let query =
        "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = api.watch(&format!("{CONFIG_MAPS}?{query}")).await;
    assert_eq!(events.words().await, "ADDED a");
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["kind"], "ConfigMap");
    assert_eq!(
        bookmark["object"]["metadata"]["annotations"],
        json!({"k8s.io/initial-events-end": "true"})
    );
    let version = bookmark["object"]["metadata"]["resourceVersion"]
        .as_str()
        .unwrap();
    assert_eq!(version, api.server.0.store.revision().to_string());
    api.post(CONFIG_MAPS, &config_map("b")).await;
    assert_eq!(events.words().await, "ADDED b");
}

#[tokio::test]
async fn an_object_that_enters_or_leaves_the_selection_is_added_or_deleted() {
    let api = Api::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await;
    let mut events = api
        .watch(&format!("{CONFIG_MAPS}?watch=true&labelSelector=app%3Da"))
        .await;
    assert_eq!(events.words().await, "ADDED a");
    let path = format!("{CONFIG_MAPS}/a");
    api.patch(
        &path,
        "merge-patch+json",
        &json!({"metadata": {"labels": {"app": "z"}}}),
    )
    .await;
    let left = events.next().await.unwrap();
    assert_eq!(
        (&left["type"], &left["object"]["metadata"]["labels"]["app"]),
        (&json!("DELETED"), &json!("a"))
    );
    api.post(CONFIG_MAPS, &config_map("unselected")).await;
    api.patch(
        &path,
        "merge-patch+json",
        &json!({"metadata": {"labels": {"app": "a"}}}),
    )
    .await;
    assert_eq!(events.words().await, "ADDED a");
}

#[tokio::test]
async fn a_watch_of_tables_sends_the_columns_once() {
    let api = Api::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await;
    api.post(CONFIG_MAPS, &config_map("b")).await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let mut events = api.watch_as(&format!("{CONFIG_MAPS}?watch=true"), accept).await;
    let (first, second) = (events.next().await.unwrap(), events.next().await.unwrap());
    assert_eq!(
        (&first["object"]["kind"], &first["object"]["rows"][0]["cells"][0]),
        (&json!("Table"), &json!("a"))
    );
    assert!(first["object"]["columnDefinitions"].is_array());
    assert!(second["object"]["columnDefinitions"].is_null());
}

#[tokio::test]
async fn bookmarks_come_about_once_a_minute_to_those_who_asked() {
    let api = Api::start_paused().await;
    let mut events = api
        .watch(&format!("{CONFIG_MAPS}?watch=true&allowWatchBookmarks=true"))
        .await;
    let begun = tokio::time::Instant::now();
    assert_eq!(events.next().await.unwrap()["type"], "BOOKMARK");
    assert_eq!(begun.elapsed().as_secs(), 60);
}

#[tokio::test]
async fn a_watch_ends_at_its_timeout() {
    let api = Api::start_paused().await;
    let mut events = api
        .watch(&format!("{CONFIG_MAPS}?watch=true&timeoutSeconds=5"))
        .await;
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_watch_ends_when_the_server_stops() {
    let api = Api::start().await;
    let mut events = api.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    api.server.drain().await;
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_watch_from_the_future_is_refused_by_an_event() {
    let api = Api::start().await;
    let mut events = api
        .watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion=999999"))
        .await;
    let event = events.next().await.unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["code"]),
        (&json!("ERROR"), &json!(504))
    );
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_watch_from_before_history_is_told_410_by_an_event_after_which_clients_list_again() {
    let api = Api::forgetful().await;
    let begun = api.post(CONFIG_MAPS, &config_map("a")).await.body;
    api.post(CONFIG_MAPS, &config_map("b")).await;
    api.post(CONFIG_MAPS, &config_map("c")).await;
    let version = begun["metadata"]["resourceVersion"].as_str().unwrap();
    let mut events = api
        .watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={version}"))
        .await;
    let event = events.next().await.unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["code"]),
        (&json!("ERROR"), &json!(410))
    );
    assert_eq!(event["object"]["reason"], "Expired");
    assert_eq!(events.next().await, None);
}

/// Deprecated for long, and still served upstream.
#[tokio::test]
async fn the_old_paths_for_watches_are_watches() {
    let api = Api::start().await;
    for name in ["a", "b"] {
        api.post(CONFIG_MAPS, &config_map(name)).await;
    }
    let folder = "/api/v1/watch/namespaces/default/configmaps";
    let mut all = api.watch(folder).await;
    assert_eq!([all.words().await, all.words().await], ["ADDED a", "ADDED b"]);
    let mut one = api.watch(&format!("{folder}/b?labelSelector=app&watch=0")).await;
    assert_eq!(one.words().await, "ADDED b");
    api.patch(
        &format!("{CONFIG_MAPS}/a"),
        "merge-patch+json",
        &json!({"data": {"k": "2"}}),
    )
    .await;
    api.patch(
        &format!("{CONFIG_MAPS}/b"),
        "merge-patch+json",
        &json!({"data": {"k": "2"}}),
    )
    .await;
    assert_eq!(one.words().await, "MODIFIED b");
    assert_eq!(api.post(folder, &config_map("c")).await.code, 405);
}

/// The watch queues nothing: what it has not read it reads from the store's history, and is closed once that is gone.
#[tokio::test]
async fn a_reader_who_falls_behind_is_told_410_and_closed() {
    let api = Api::forgetful().await;
    let mut events = api.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    for name in ["a", "b", "c", "d"] {
        api.post(CONFIG_MAPS, &config_map(name)).await;
    }
    let event = events.next().await.unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["reason"]),
        (&json!("ERROR"), &json!("Expired"))
    );
    assert_eq!(events.next().await, None);
}

const FORMS: [&str; 5] = [
    "application/json",
    "application/vnd.kubernetes.protobuf",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
];

async fn piece(body: &mut Body) -> bytes::Bytes {
    let piece = tokio::time::timeout(Duration::from_secs(60), body.frame()).await;
    piece.unwrap().unwrap().unwrap().into_data().unwrap()
}

#[tokio::test]
async fn an_event_is_encoded_once_for_all_its_watchers() {
    let api = Api::start().await;
    for form in FORMS {
        let mut bodies = Vec::new();
        for query in ["", "&labelSelector=app", "&fieldSelector=metadata.name%3Da"].repeat(20) {
            let path = format!("{CONFIG_MAPS}?watch=true{query}");
            let watch = api.open("GET", &path, &[(ACCEPT, form)], Vec::new()).await;
            bodies.push(watch.into_body());
        }
        api.post(CONFIG_MAPS, &config_map("a")).await;
        let first = piece(&mut bodies[0]).await;
        for body in bodies.iter_mut().skip(1) {
            assert!(std::ptr::eq(&*piece(body).await, &*first), "{form}");
        }
        api.delete(&format!("{CONFIG_MAPS}/a")).await;
    }
}

/// Of all that a watch sends: the first event of a table, the others, one that left the selection, several at once.
#[tokio::test]
async fn shared_events_are_byte_for_byte_those_that_a_watch_alone_sends() {
    let api = Api::start().await;
    let version = api.server.0.store.revision();
    let path = format!("{CONFIG_MAPS}?watch=true&labelSelector=app%3Da&resourceVersion={version}");
    let mut before = Vec::new();
    for form in FORMS {
        for _ in 0..2 {
            before.push(
                api.open("GET", &path, &[(ACCEPT, form)], Vec::new())
                    .await
                    .into_body(),
            );
        }
    }
    let one = format!("{CONFIG_MAPS}/a");
    api.post(CONFIG_MAPS, &config_map("a")).await;
    let mut sent: Vec<Vec<u8>> = Vec::new();
    for body in &mut before {
        sent.push(piece(body).await.to_vec());
    }
    for patch in [
        json!({"data": {"k": "w"}}),
        json!({"metadata": {"labels": {"app": "z"}}}),
    ] {
        api.patch(&one, "merge-patch+json", &patch).await;
    }
    for (body, sent) in before.iter_mut().zip(&mut sent) {
        sent.extend_from_slice(&piece(body).await);
    }
    // Another server over the same store has encoded nothing yet for anybody else.
    for (index, sent) in sent.iter().enumerate() {
        let fresh = Api::of(api.server.0.store.clone(), None).await;
        let form = FORMS[index / 2];
        let mut alone = fresh
            .open("GET", &path, &[(ACCEPT, form)], Vec::new())
            .await
            .into_body();
        assert_eq!(&piece(&mut alone).await[..], &sent[..], "{form}");
    }
}

#[tokio::test]
async fn nothing_is_made_for_a_watch_that_nobody_reads() {
    let api = Api::start().await;
    let watch = format!("{CONFIG_MAPS}?watch=true");
    let _unread = [api.watch(&watch).await, api.watch(&watch).await];
    for index in 0..50 {
        api.post(CONFIG_MAPS, &config_map(&format!("m{index}"))).await;
    }
    assert_eq!(api.server.0.frames.len(), 0);
}
