//! Logs.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;

use super::client::{Endpoint, text};
use crate::access::LogOptions;

const FOLLOW: &str = "/containerLogs/default/web/app?follow=true";

#[tokio::test]
async fn a_log_is_plain_text_and_ends() {
    let mut endpoint = Endpoint::start().await;
    endpoint.lines.send(Bytes::from_static(b"one\n")).await.unwrap();
    endpoint.lines.send(Bytes::from_static(b"two\n")).await.unwrap();
    endpoint.lines = tokio::sync::mpsc::channel(1).0;
    let response = endpoint.get("/containerLogs/default/web/app?tailLines=2").await;
    assert_eq!(response.headers()["content-type"], "text/plain");
    assert_eq!(text(response).await, "one\ntwo\n");
    let wanted = LogOptions {
        tail_lines: Some(2),
        ..LogOptions::default()
    };
    assert_eq!(*endpoint.twin.asked.lock().unwrap(), [wanted]);
}

#[tokio::test]
async fn a_followed_log_sends_each_line_as_it_comes() {
    let mut endpoint = Endpoint::start().await;
    let mut response = endpoint.get(FOLLOW).await;
    for line in ["first\n", "second\n"] {
        endpoint.lines.send(Bytes::from(line)).await.unwrap();
        let frame = tokio::time::timeout(Duration::from_secs(5), response.frame()).await;
        assert_eq!(frame.unwrap().unwrap().unwrap().into_data().unwrap(), line);
    }
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_reading_behind_it() {
    let mut endpoint = Endpoint::start().await;
    let response = endpoint.get(FOLLOW).await;
    endpoint.twin.alive(1).await;
    drop(response);
    endpoint.twin.alive(0).await;
}

#[tokio::test]
async fn a_followed_log_ends_when_the_server_stops() {
    let mut endpoint = Endpoint::start().await;
    let response = endpoint.get(FOLLOW).await;
    endpoint.lines.send(Bytes::from_static(b"last\n")).await.unwrap();
    endpoint.stop.cancel();
    assert!(["last\n", ""].contains(&text(response).await.as_str()));
    endpoint.twin.alive(0).await;
}

#[tokio::test]
async fn an_option_out_of_range_is_400() {
    let mut endpoint = Endpoint::start().await;
    let response = endpoint.get("/containerLogs/default/web/app?tailLines=-1").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(text(response).await.contains("tailLines"));
}
