//! Objects as they were at a revision.

use anyhow::bail;
use serde_json::Value;

use super::api::{Api, Attempt, query};
use super::target::Target;

/// What is read: a target, and the revision at which it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Then<'a> {
    pub(super) target: &'a Target,
    pub(super) selector: Option<&'a str>,
    pub(super) revision: u64,
}

impl Then<'_> {
    /// The list that holds it, in one page: a get by name has no way to ask for an exact version.
    fn path(&self) -> String {
        let all = Target {
            name: None,
            ..self.target.clone()
        };
        let revision = self.revision.to_string();
        let name = self
            .target
            .name
            .as_ref()
            .map(|name| format!("metadata.name={name}"));
        query(
            &all.path(),
            &[
                ("resourceVersion", Some(revision.as_str())),
                ("resourceVersionMatch", Some("Exact")),
                ("labelSelector", self.selector),
                ("fieldSelector", name.as_deref()),
            ],
        )
    }

    fn attempted(&self) -> String {
        let what = if self.target.name.is_some() {
            self.target.shown()
        } else {
            self.target.kind.plural.clone()
        };
        format!("get {what} as of revision {}", self.revision)
    }

    /// Refuses a revision that the server has not reached: it would be asked for again and again, since it may come.
    async fn check(&self, api: &Api) -> anyhow::Result<()> {
        let all = Target {
            name: None,
            ..self.target.clone()
        };
        let newest = api.get(&query(&all.path(), &[("limit", Some("1"))])).await;
        let newest = newest.attempt(|| self.attempted())?;
        let newest = newest
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str);
        match newest.and_then(|text| text.parse::<u64>().ok()) {
            Some(newest) if self.revision > newest => {
                bail!("{}: the newest is revision {newest}", self.attempted())
            }
            _ => Ok(()),
        }
    }

    /// The table of it.
    pub(super) async fn table(&self, api: &Api) -> anyhow::Result<Value> {
        self.check(api).await?;
        let table = api.table(&self.path()).await.attempt(|| self.attempted())?;
        let none = table
            .get("rows")
            .and_then(Value::as_array)
            .is_none_or(Vec::is_empty);
        self.expect_some(none)?;
        Ok(table)
    }

    /// The list of it, whole.
    pub(super) async fn list(&self, api: &Api) -> anyhow::Result<Value> {
        self.check(api).await?;
        let list = api.get(&self.path()).await.attempt(|| self.attempted())?;
        let none = list
            .get("items")
            .and_then(Value::as_array)
            .is_none_or(Vec::is_empty);
        self.expect_some(none)?;
        Ok(list)
    }

    /// A name that was not there is an error, an empty list is none.
    fn expect_some(&self, none: bool) -> anyhow::Result<()> {
        if none && self.target.name.is_some() {
            bail!("{}: it did not exist then", self.attempted());
        }
        Ok(())
    }
}
