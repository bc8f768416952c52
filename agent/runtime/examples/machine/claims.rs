//! The claims, each by its name.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::process::Command;

use agent_systemd::UnitManager as _;
use serde_json::json;

use crate::held::*;
use crate::live::*;
use crate::node::Node;
use crate::pods::*;

type Outcome = Result<(), Box<dyn Error>>;

/// Runs all claims, or the one named.
pub(crate) async fn run(node: &Node, only: Option<&str>) -> Outcome {
    macro_rules! claims {
        ($($name:ident),* $(,)?) => {
            $(if only.is_none_or(|o| o == stringify!($name)) {
                let begin = std::time::Instant::now();
                let outcome = $name(node).await;
                println!("{} {} ({} ms)", if outcome.is_ok() { "ok  " } else { "FAIL" }, stringify!($name), begin.elapsed().as_millis());
                outcome?;
            })*
        };
    }
    claims!(
        a_container_exits_with_its_code,
        a_command_that_is_not_there_says_so,
        two_hundred_containers_that_exit_at_once_report_every_code,
        a_restart_has_a_fresh_layer_and_a_flat_mount_table,
        containers_see_no_descriptor_of_ours,
        secrets_are_in_no_unit_property,
        an_image_that_logs_by_name_is_heard,
        exec_runs_in_the_units_cgroup_and_reports_its_code,
        a_terminal_takes_its_size_and_ends,
        logs_are_read_back_by_run,
        a_crash_looping_container_waits_its_back_off_in_systemd,
        a_manager_that_is_executed_anew_is_found_again,
        the_images_user_and_the_pods_name_are_found,
        a_hardened_container_is_hardened,
        a_privileged_container_on_the_hosts_network_runs,
        volumes_are_mounted_and_parts_stay_beneath,
        limits_hold_and_memory_beyond_them_is_an_oom_kill,
        a_terminal_outlives_those_who_attach,
        stdin_ends_with_the_first_who_had_it,
        stdin_stays_open_for_the_next,
        a_held_container_ends_as_its_process_does,
        held_containers_that_end_at_once_report_every_code,
        the_last_words_of_a_held_container_are_heard,
        commands_that_cannot_be_executed_have_the_codes_of_shells,
        one_who_reads_nothing_is_cut_off,
    );
    Ok(())
}

async fn a_container_exits_with_its_code(node: &Node) -> Outcome {
    let pod = node.pod(1, "echo hello; echo bad >&2; hostname; id; mount; cat /etc/hosts; echo bye > /dev/termination-log; exit 7", "Never", &json!({}))?;
    let bundle = node.start(&pod).await?;
    node.wait("a record", async || Ok(node.records(&pod)?.total == 1))
        .await?;
    let record = node.records(&pod)?.last().cloned().ok_or("no record")?;
    println!("  {record:?}");
    if record.exit_code != 7 || record.message != "bye\n" {
        let log = Command::new("journalctl")
            .args(["-u", bundle.service.name.as_str(), "-o", "short", "--no-pager"])
            .output()?;
        println!("{}", String::from_utf8_lossy(&log.stdout));
        return Err("wrong record".into());
    }
    node.remove(&pod).await
}

async fn a_command_that_is_not_there_says_so(node: &Node) -> Outcome {
    let pod = node.pod(2, "", "Never", &json!({"command": ["/nowhere"]}))?;
    node.start(&pod).await?;
    node.wait("a record", async || Ok(node.records(&pod)?.total == 1))
        .await?;
    let record = node.records(&pod)?.last().cloned().ok_or("no record")?;
    println!("  {record:?}");
    let said = record.start_error.unwrap_or_default();
    if record.exit_code != 128 || !said.contains("/nowhere") {
        return Err(format!("wrong error: {said}").into());
    }
    node.remove(&pod).await
}

async fn two_hundred_containers_that_exit_at_once_report_every_code(node: &Node) -> Outcome {
    let pods: Vec<_> = (0..200)
        .map(|n| node.pod(1000 + n, &format!("exit {}", n % 120), "Never", &json!({})))
        .collect::<Result<_, _>>()?;
    let begin = std::time::Instant::now();
    for chunk in pods.chunks(20) {
        let started = chunk.iter().map(|pod| node.start(pod));
        for outcome in futures_join(started).await {
            outcome?;
        }
    }
    node.wait("200 records", async || {
        Ok(pods
            .iter()
            .filter(|pod| node.records(pod).is_ok_and(|r| r.total == 1))
            .count()
            == 200)
    })
    .await?;
    println!("  200 containers in {} ms", begin.elapsed().as_millis());
    let mut wrong = BTreeMap::new();
    for (n, pod) in (0_i32..).zip(&pods) {
        let record = node.records(pod)?.last().cloned().ok_or("no record")?;
        if record.exit_code != n % 120 || record.start_error.is_some() {
            wrong.insert(n, record);
        }
        node.remove(pod).await?;
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("{wrong:#?}").into())
    }
}

/// Awaits all at once.
async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pinned: Vec<_> = futures.map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|context| {
        let mut done = true;
        for (future, output) in &mut pinned {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => done = false,
                }
            }
        }
        if done {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    pinned.into_iter().filter_map(|(_, output)| output).collect()
}

fn host_mounts() -> Result<usize, Box<dyn Error>> {
    Ok(fs::read_to_string("/proc/1/mountinfo")?.lines().count())
}

async fn a_restart_has_a_fresh_layer_and_a_flat_mount_table(node: &Node) -> Outcome {
    let script = "test -e /mark && exit 9; touch /mark; echo up; exec sleep 1000";
    let pod = node.pod(3, script, "Always", &json!({}))?;
    let before = host_mounts()?;
    let bundle = node.start(&pod).await?;
    for n in 1..=2 {
        // As an operator would, with nothing of the agent in between.
        let restarted = Command::new("systemctl")
            .args(["restart", bundle.service.name.as_str()])
            .status()?;
        if !restarted.success() {
            return Err("systemctl restart failed".into());
        }
        if node.records(&pod)?.total != n {
            return Err("a restart without its record".into());
        }
    }
    println!("  {:?}", node.records(&pod)?.recent);
    println!("  host mounts before {before}, after {}", host_mounts()?);
    if node.records(&pod)?.recent.iter().any(|r| r.exit_code == 9) || host_mounts()? != before {
        return Err("an old layer or a new mount".into());
    }
    node.remove(&pod).await
}

async fn containers_see_no_descriptor_of_ours(node: &Node) -> Outcome {
    let pod = node.pod(
        4,
        "ls -l /proc/self/fd > /dev/termination-log; exit 0",
        "Never",
        &json!({}),
    )?;
    node.start(&pod).await?;
    node.wait("a record", async || Ok(node.records(&pod)?.total == 1))
        .await?;
    let message = node
        .records(&pod)?
        .last()
        .map(|r| r.message.clone())
        .unwrap_or_default();
    println!("{message}");
    let numbers = message.lines().filter(|l| !l.starts_with("total")).count();
    // 0, 1 (the file), 2, and the folder being listed.
    if numbers != 4 {
        Err(format!("{numbers} descriptors").into())
    } else {
        node.remove(&pod).await
    }
}

async fn secrets_are_in_no_unit_property(node: &Node) -> Outcome {
    let pod = node.pod(5, "exec sleep 1000", "Always", &json!({}))?;
    let bundle = node.start(&pod).await?;
    let name = bundle.service.name.as_str();
    let shown = Command::new("systemctl").args(["show", name]).output()?;
    let cat = Command::new("systemctl").args(["cat", name]).output()?;
    let text = [shown.stdout, cat.stdout].concat();
    println!(
        "{}",
        String::from_utf8_lossy(
            &Command::new("systemctl")
                .args(["status", name, "--no-pager"])
                .output()?
                .stdout
        )
    );
    if String::from_utf8_lossy(&text).contains("s3cret-value") {
        return Err("a secret in a unit".into());
    }
    node.systemd.stop(&bundle.service.name).await?;
    node.remove(&pod).await
}

/// Sockets cannot be opened by name, so images that log to `/dev/stdout` get FIFOs.
async fn an_image_that_logs_by_name_is_heard(node: &Node) -> Outcome {
    let plain = node.pod(
        6,
        "(echo x > /dev/stderr) || echo refused > /dev/termination-log",
        "Never",
        &json!({}),
    )?;
    node.start(&plain).await?;
    node.wait("a record", async || Ok(node.records(&plain)?.total == 1))
        .await?;
    let message = node
        .records(&plain)?
        .last()
        .map(|r| r.message.clone())
        .unwrap_or_default();
    println!("  without: {}", message.trim());
    node.remove(&plain).await?;

    let log = node.layer.join("var/log/web");
    fs::create_dir_all(&log)?;
    std::os::unix::fs::symlink("/dev/stdout", log.join("access.log"))?;
    let script =
        "echo by name > /var/log/web/access.log; echo oops > /dev/stderr; sleep 0.2; echo direct; exit 4";
    let pod = node.pod(7, script, "Never", &json!({"securityContext": {"runAsUser": 33}}))?;
    let began = std::time::Instant::now();
    let bundle = node.start(&pod).await?;
    node.wait("a record", async || Ok(node.records(&pod)?.total == 1))
        .await?;
    println!("  ended after {} ms", began.elapsed().as_millis());
    fs::remove_dir_all(node.layer.join("var"))?;
    let name = bundle.service.name.as_str();
    let shown = Command::new("journalctl")
        .args(["-o", "cat", "--no-pager", "SYSLOG_IDENTIFIER=p7/c", "-u", name])
        .output()?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    println!("  {text:?} {:?}", node.records(&pod)?.last());
    if !["by name", "oops", "direct"]
        .iter()
        .all(|line| text.contains(line))
    {
        return Err("a line is missing".into());
    }
    node.remove(&pod).await
}
