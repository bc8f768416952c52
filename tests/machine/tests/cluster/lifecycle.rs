//! Clusters that come and go on one host.

use std::time::Duration;

use anyhow::{Result, ensure};
use tests_harness::{Cluster, eventually};

/// What a cluster named `name` would leave on this host, one thing a line.
fn traces(name: &str) -> Result<String> {
    let script = format!(
        "ip -o link | grep -E 'flb-{name}|vb-{name}'; grep clusters/{name}/ /proc/self/mountinfo; \
         pgrep -af 'systemd-nspawn.*clusters/{name}/'; ls -d /var/lib/floe/clusters/{name} 2>/dev/null; \
         find /sys/fs/cgroup -type d -name 'floe-{name}-*'; nft list tables | grep 'flb-{name}'; true"
    );
    let done = std::process::Command::new("sh").args(["-c", &script]).output()?;
    let found = String::from_utf8_lossy(&done.stdout);
    // The shell that asks names the cluster itself.
    Ok(found
        .lines()
        .filter(|line| !line.contains("pgrep"))
        .collect::<Vec<_>>()
        .join("\n"))
}

pub(crate) fn side_by_side(cluster: &Cluster) -> Result<()> {
    let name = "t-second";
    {
        let second = Cluster::up(name, &[])?;
        let status = second.succeed(&["status"])?;
        ensure!(
            status.matches("Running").count() == 2,
            "the demo's two pods do not run: {status}"
        );
        let again = second.succeed(&["up"])?;
        ensure!(
            again.contains("Hello from Floe"),
            "the demo's page was not fetched: {again}"
        );
        ensure!(
            cluster
                .succeed(&["status"])?
                .contains(&format!("{}-1", cluster.name())),
            "the first cluster is gone"
        );
        ensure!(!traces(name)?.is_empty(), "this test would not see what is left");
    }
    eventually("nothing left behind", || {
        let left = traces(name)?;
        ensure!(left.is_empty(), "{left}");
        Ok(())
    })
}

pub(crate) fn killed_up(cluster: &Cluster) -> Result<()> {
    let name = "t-half";
    for millis in [150, 400, 900, 1800] {
        let mut up = cluster.floe(&["up", "--no-demo"]);
        // The later of two values of one option counts.
        let mut child = up
            .args(["--name", name])
            .stdout(std::process::Stdio::null())
            .spawn()?;
        std::thread::sleep(Duration::from_millis(millis));
        child.kill()?;
        child.wait()?;
        let down = cluster.floe(&["down"]).args(["--name", name]).output()?;
        ensure!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
        eventually("traces of a killed `up` to be gone", || {
            let left = traces(name)?;
            ensure!(left.is_empty(), "after {millis} ms: {left}");
            Ok(())
        })?;
    }
    Ok(())
}

pub(crate) fn wrong_input(cluster: &Cluster) -> Result<()> {
    let said = |words: &[&str]| -> Result<String> {
        let done = cluster.run(words)?;
        ensure!(done.code != 0, "{words:?} was accepted: {}", done.output);
        Ok(done.output)
    };
    ensure!(
        said(&["get", "podz"])?.contains("did you mean pods?"),
        "no suggestion"
    );
    ensure!(
        said(&["shell", "nowhere"])?.contains(&format!("its nodes are {}-1", cluster.name())),
        "no list of nodes"
    );
    ensure!(
        said(&["image", "load", "/no/such.tar"])?.contains("does not exist"),
        "no reason"
    );
    ensure!(
        said(&["get", "pod", "absent"])?.contains("not found"),
        "no reason"
    );
    ensure!(
        said(&["apply", "-f", "/no/such.yaml"])?.contains("/no/such.yaml"),
        "no path"
    );
    Ok(())
}
