//! Which cluster the verbs talk to, and as whom.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::client;
use crate::cluster::Cluster;

/// Where a server leaves its administrator's kubeconfig, by default.
const OF_SERVER: &str = "/var/lib/floe/controlplane/kubeconfig/admin.kubeconfig";

/// What a command line says of it.
#[derive(Debug, Args)]
pub(crate) struct Access {
    /// The kubeconfig to use instead of $KUBECONFIG, a cluster of this host, or ~/.kube/config.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        conflicts_with = "name",
        overrides_with = "kubeconfig"
    )]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context to use instead of its current one.
    #[arg(long, global = true, value_name = "CONTEXT", overrides_with = "context")]
    context: Option<String>,
}

/// Where credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// This file, and nothing else.
    File(PathBuf),
    /// The files that `$KUBECONFIG` lists, merged as kubectl does.
    Environment,
    /// The administrator of a cluster that `up` started on this host.
    OfHost,
}

/// What is there to choose from beside the command line.
#[derive(Debug, Default)]
struct Found {
    /// `$KUBECONFIG` is set and not empty.
    environment: bool,
    /// The cluster of this host runs.
    running: bool,
    /// The administrator's kubeconfig of the server that this host is.
    of_server: Option<PathBuf>,
    /// `~/.kube/config`.
    of_home: Option<PathBuf>,
}

/// The source that comes first: what was asked for in words, then the environment, then what is nearest.
fn choose(kubeconfig: Option<&Path>, named: bool, found: Found) -> Source {
    if let Some(file) = kubeconfig {
        return Source::File(file.to_owned());
    }
    if named {
        return Source::OfHost;
    }
    if found.environment {
        return Source::Environment;
    }
    let nearest = found.of_server.or(found.of_home);
    match nearest.filter(|_| !found.running) {
        Some(file) => Source::File(file),
        None => Source::OfHost,
    }
}

impl Access {
    /// A client of the chosen cluster; `named` says whether the command line names `cluster`.
    ///
    /// # Errors
    ///
    /// Says which file cannot be used, or that there is no cluster.
    pub(crate) async fn client(&self, cluster: &Cluster, named: bool) -> anyhow::Result<Client> {
        let kubeconfig = match choose(self.kubeconfig.as_deref(), named, found(cluster)) {
            Source::OfHost => {
                if self.context.is_some() {
                    bail!("--context chooses within a kubeconfig: name one with --kubeconfig or $KUBECONFIG");
                }
                return client::admin(cluster).await;
            }
            Source::File(file) => Kubeconfig::read_from(&file)
                .with_context(|| format!("read the kubeconfig {}", file.display()))?,
            Source::Environment => Kubeconfig::from_env()
                .context("read the kubeconfig that $KUBECONFIG names")?
                .context("$KUBECONFIG is empty")?,
        };
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        client::of(kubeconfig, &options).await
    }
}

fn found(cluster: &Cluster) -> Found {
    let home = std::env::home_dir().map(|home| home.join(".kube/config"));
    // A file that cannot be looked at is not ours to use: the administrator's is root's.
    let readable = |path: &PathBuf| std::fs::File::open(path).is_ok();
    Found {
        environment: std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty()),
        running: cluster.is_running(),
        of_server: Some(PathBuf::from(OF_SERVER)).filter(readable),
        of_home: home.filter(readable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Source {
        Source::File(PathBuf::from(path))
    }

    fn everything() -> Found {
        Found {
            environment: true,
            running: true,
            of_server: Some("server".into()),
            of_home: Some("home".into()),
        }
    }

    #[test]
    fn what_the_command_line_says_comes_before_the_environment() {
        let given = Path::new("given");
        assert_eq!(choose(Some(given), false, everything()), file("given"));
        assert_eq!(choose(None, true, everything()), Source::OfHost);
        assert_eq!(choose(None, false, everything()), Source::Environment);
    }

    #[test]
    fn without_words_the_nearest_cluster_is_meant() {
        let unset = Found {
            environment: false,
            ..everything()
        };
        assert_eq!(choose(None, false, unset), Source::OfHost);
        let stopped = Found {
            environment: false,
            running: false,
            ..everything()
        };
        assert_eq!(choose(None, false, stopped), file("server"));
        let elsewhere = Found {
            of_home: Some("home".into()),
            ..Found::default()
        };
        assert_eq!(choose(None, false, elsewhere), file("home"));
        assert_eq!(choose(None, false, Found::default()), Source::OfHost);
    }
}
