use anyhow::{Context, bail};
use http::Method;
use serde_json::{Value, json};

use super::api::{Api, Attempt, code};
use super::kinds::Kinds;
use super::output::Output;
use super::path::Setting;
use super::target::{Target, namespace, of_object, resolve};
use super::{UpdateArgs, Which, documents};

/// How often an object that others change meanwhile is tried.
const ATTEMPTS: usize = 5;

pub(super) async fn run(api: &Api, args: &UpdateArgs, out: &mut Output) -> anyhow::Result<()> {
    if args.target.is_empty() {
        return replace_all(api, args, out).await;
    }
    let settings = args
        .set
        .iter()
        .map(|text| Setting::parse(text))
        .collect::<anyhow::Result<Vec<_>>>()?;
    for target in resolve(api, &args.target, &[], &args.place, &Which::default()).await? {
        if target.name.is_none() {
            bail!("{} needs a name", target.kind.plural);
        }
        let done = set(api, &target, &settings).await?;
        out.line(&format!("{} {done}", target.label()))?;
    }
    Ok(())
}

async fn replace_all(api: &Api, args: &UpdateArgs, out: &mut Output) -> anyhow::Result<()> {
    let objects = documents::read_all(&args.file)?;
    let kinds = Kinds::discover(api).await?;
    let here = namespace(api, &args.place);
    for mut object in objects {
        let target = of_object(&kinds, &object, &here)?;
        if let (Some(namespace), Some(metadata)) = (&target.namespace, object.get_mut("metadata")) {
            metadata
                .as_object_mut()
                .context("metadata is no object")?
                .insert("namespace".to_owned(), json!(namespace));
        }
        let replaced = api
            .send(Method::PUT, &target.path(), ("application/json", &object))
            .await;
        replaced.attempt(|| format!("update {}", target.shown()))?;
        out.line(&format!("{} replaced", target.label()))?;
    }
    Ok(())
}

/// Reads, sets and writes back; tries again where somebody else wrote in between.
async fn set(api: &Api, target: &Target, settings: &[Setting]) -> anyhow::Result<&'static str> {
    let attempted = || format!("update {}", target.shown());
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let live = api.get(&target.path()).await.attempt(attempted)?;
        let wanted = with_settings(&live, settings).with_context(attempted)?;
        if wanted == live {
            return Ok("unchanged");
        }
        match api
            .send(Method::PUT, &target.path(), ("application/json", &wanted))
            .await
        {
            Err(error) if code(&error) == Some(409) && left > 0 => {}
            other => return other.map(|_| "updated").attempt(attempted),
        }
    }
}

fn with_settings(live: &Value, settings: &[Setting]) -> anyhow::Result<Value> {
    let mut wanted = live.clone();
    for setting in settings {
        setting.apply(&mut wanted)?;
    }
    Ok(wanted)
}
