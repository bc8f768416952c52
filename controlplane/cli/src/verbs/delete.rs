use std::time::Duration;

use anyhow::bail;
use futures::StreamExt;
use http::Method;
use kube::core::WatchEvent;
use serde_json::{Value, json};

use super::DeleteArgs;
use super::api::{Api, Attempt, code, query, refused};
use super::get::list;
use super::output::Output;
use super::target::{Target, resolve};

/// Pause before a watch that the server ended is begun again.
const PAUSE: Duration = Duration::from_millis(250);

pub(super) async fn run(api: &Api, args: &DeleteArgs, out: &mut Output) -> anyhow::Result<()> {
    let targets = resolve(api, &args.target, &args.file, &args.place, &args.which).await?;
    let targets = named(api, targets, args).await?;
    let mut going = Vec::new();
    for target in targets {
        if let Some(uid) = delete(api, &target, args).await? {
            out.line(&format!("{} deleted", target.label()))?;
            going.push((target, uid));
        }
    }
    if args.no_wait {
        return Ok(());
    }
    for (target, uid) in going {
        let limit = Duration::from_secs(args.timeout);
        // Cancel-safe: waiting changes nothing.
        match tokio::time::timeout(limit, wait_until_gone(api, &target, &uid)).await {
            Ok(gone) => gone?,
            Err(_) => bail!(
                "{} is still there after {} s: see `floe describe` for what holds it",
                target.shown(),
                args.timeout
            ),
        }
    }
    Ok(())
}

/// Every object that is meant, by name.
async fn named(api: &Api, targets: Vec<Target>, args: &DeleteArgs) -> anyhow::Result<Vec<Target>> {
    let mut objects = Vec::new();
    for target in targets {
        if target.name.is_some() {
            objects.push(target);
            continue;
        }
        if !args.all && args.which.selector.is_none() {
            bail!("{} needs a name, a selector (-l) or --all", target.kind.plural);
        }
        for object in list(api, &target, args.which.selector.as_deref()).await? {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
            objects.push(Target {
                namespace,
                name,
                ..target.clone()
            });
        }
    }
    Ok(objects)
}

/// Asks for the deletion and returns the object's UID; none where it was not there and need not be.
async fn delete(api: &Api, target: &Target, args: &DeleteArgs) -> anyhow::Result<Option<String>> {
    let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
    if let (Some(seconds), Some(fields)) = (args.grace_period, options.as_object_mut()) {
        fields.insert("gracePeriodSeconds".to_owned(), json!(seconds));
    }
    let found = match api
        .find(&target.path())
        .await
        .attempt(|| format!("delete {}", target.shown()))?
    {
        None if args.ignore_not_found => return Ok(None),
        found => found.unwrap_or_default(),
    };
    match api
        .send(Method::DELETE, &target.path(), ("application/json", &options))
        .await
    {
        Err(error) if code(&error) == Some(404) && args.ignore_not_found => Ok(None),
        Err(error) => Err(refused(format!("delete {}", target.shown()), error)),
        Ok(_) => Ok(Some(uid(&found))),
    }
}

fn uid(object: &Value) -> String {
    object
        .pointer("/metadata/uid")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// Returns when the object with this UID is no longer there, whatever else has its name.
async fn wait_until_gone(api: &Api, target: &Target, gone: &str) -> anyhow::Result<()> {
    let all = Target {
        name: None,
        ..target.clone()
    };
    let field = format!("metadata.name={}", target.name.as_deref().unwrap_or_default());
    loop {
        let object = api
            .find(&target.path())
            .await
            .attempt(|| format!("wait for {}", target.shown()))?;
        let Some(object) = object.filter(|object| uid(object) == gone) else {
            return Ok(());
        };
        let revision = object
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str);
        let parameters = [
            ("watch", Some("true")),
            ("resourceVersion", revision),
            ("fieldSelector", Some(field.as_str())),
        ];
        let events = api.watch(&query(&all.path(), &parameters), false).await;
        let mut events = events.attempt(|| format!("wait for {}", target.shown()))?;
        while let Some(Ok(event)) = events.next().await {
            if matches!(&event, WatchEvent::Deleted(object) if uid(object) == gone) {
                return Ok(());
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
