//! The verbs on objects: `apply`, `get`, `describe`, `delete`, `update`, for any kind that the server discovers.

mod api;
mod apply;
mod delete;
mod describe;
mod diff;
mod documents;
mod get;
mod history;
mod kinds;
mod merge;
mod moment;
mod output;
mod past;
mod path;
mod query;
mod sql;
mod table;
mod target;
mod update;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

pub(crate) use api::{Attempt, sentence};
pub(crate) use moment::Moment;
pub(crate) use output::Output;
pub(crate) use table::{Printer as TablePrinter, Show};

/// The verbs, to be flattened into the command line.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create objects from files, or change what exists to what the files say.
    Apply(ApplyArgs),
    /// Show objects as a table, or whole with -o.
    Get(GetArgs),
    /// Tell all about objects, with their events.
    Describe(DescribeArgs),
    /// Delete objects and wait until they are gone.
    Delete(DeleteArgs),
    /// Replace objects by files, or set single fields.
    Update(UpdateArgs),
    /// Show who changed an object, when, and what.
    History(history::HistoryArgs),
    /// Ask the cluster's store in SQL, read-only.
    Sql(sql::SqlArgs),
}

/// Where to look.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Place {
    /// The namespace; `default` where absent.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
}

/// Which of many.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Which {
    /// Every namespace.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
    /// Only objects with these labels, such as app=web,tier!=db.
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub(crate) selector: Option<String>,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// YAML or JSON: a file, a folder of them, or - for standard input.
    #[arg(short, long, value_name = "FILE", required = true)]
    file: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// KIND, KIND NAME, KIND NAMESPACE/NAME or KIND/NAME; several kinds with commas.
    #[arg(value_name = "TARGET", required_unless_present = "file")]
    target: Vec<String>,
    /// The objects that these files name.
    #[arg(short, long, value_name = "FILE", conflicts_with = "target")]
    file: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    which: Which,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Stay and show changes as they happen.
    #[arg(short, long)]
    watch: bool,
    /// As it was at a revision, at a time, or so long ago: 1234, 2026-01-02T15:04:05Z, 10m.
    #[arg(long, value_name = "REVISION|TIME", conflicts_with = "watch")]
    at: Option<Moment>,
}

impl GetArgs {
    /// Every object of `kind`.
    pub(crate) fn all_of(kind: &str, output: Format) -> Self {
        Self {
            target: vec![kind.to_owned()],
            file: Vec::new(),
            place: Place::default(),
            which: Which::default(),
            output,
            watch: false,
            at: None,
        }
    }
}

/// How `get` prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The server's table.
    #[default]
    Table,
    /// The server's table with all its columns.
    Wide,
    /// Whole objects.
    Json,
    /// Whole objects.
    Yaml,
    /// KIND/NAME, one a line.
    Name,
}

/// Arguments of `describe`.
#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// KIND, KIND NAME, KIND NAMESPACE/NAME or KIND/NAME; several kinds with commas.
    #[arg(value_name = "TARGET", required_unless_present = "file")]
    target: Vec<String>,
    /// The objects that these files name.
    #[arg(short, long, value_name = "FILE", conflicts_with = "target")]
    file: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    which: Which,
}

/// Arguments of `delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// KIND NAME, KIND NAMESPACE/NAME or KIND/NAME; with --all or -l also KIND alone.
    #[arg(value_name = "TARGET", required_unless_present = "file")]
    target: Vec<String>,
    /// The objects that these files name.
    #[arg(short, long, value_name = "FILE", conflicts_with = "target")]
    file: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    which: Which,
    /// Every object of the kind in the namespace.
    #[arg(long, conflicts_with = "selector")]
    all: bool,
    /// Return at once instead of when the objects are gone.
    #[arg(long)]
    no_wait: bool,
    /// Seconds a pod gets to end; 0 deletes it without waiting for its node.
    #[arg(long, value_name = "SECONDS")]
    grace_period: Option<u32>,
    /// Be content with objects that do not exist.
    #[arg(long)]
    ignore_not_found: bool,
    /// Seconds to wait for each object.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

/// Arguments of `update`.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// KIND NAME, KIND NAMESPACE/NAME or KIND/NAME.
    #[arg(value_name = "TARGET", required_unless_present = "file", requires = "set")]
    target: Vec<String>,
    /// Replace objects by what these files say.
    #[arg(short, long, value_name = "FILE", conflicts_with = "target")]
    file: Vec<PathBuf>,
    /// Set a field, such as spec.replicas=3 or spec.template.spec.containers[0].image=web:2.
    #[arg(long, value_name = "PATH=VALUE", conflicts_with = "file")]
    set: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// Carries out `verb`.
///
/// # Errors
///
/// What could not be done, on what, and why, as one sentence.
pub(crate) async fn run(client: kube::Client, verb: Verb, mut out: Output) -> anyhow::Result<()> {
    let api = api::Api::new(client);
    match verb {
        Verb::Apply(args) => Box::pin(apply::run(&api, &args, &mut out)).await,
        Verb::Get(args) => Box::pin(get::run(&api, &args, &mut out)).await,
        Verb::Describe(args) => Box::pin(describe::run(&api, &args, &mut out)).await,
        Verb::Delete(args) => Box::pin(delete::run(&api, &args, &mut out)).await,
        Verb::Update(args) => Box::pin(update::run(&api, &args, &mut out)).await,
        Verb::History(args) => Box::pin(history::run(&api, &args, &mut out)).await,
        Verb::Sql(args) => Box::pin(sql::run(&api, &args, &mut out)).await,
    }
}

#[cfg(test)]
mod tests;
