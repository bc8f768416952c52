//! Claims about running containers: exec and logs.

use std::error::Error;
use std::time::Duration;

use agent_runtime::exec::{ContainerRef, ExecProcess, ExecRequest, spawn};
use agent_runtime::logs::{LogQuery, read};
use agent_systemd::UnitManager as _;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::node::{Node, uid};

type Outcome = Result<(), Box<dyn Error>>;

async fn enter(node: &Node, pod: &Pod, script: &str, tty: bool) -> Result<ExecProcess, Box<dyn Error>> {
    let target = ContainerRef {
        uid: uid(pod).into(),
        container: "c".into(),
    };
    let command = ["/bin/sh", "-c", script].map(String::from).to_vec();
    Ok(spawn(
        &node.paths,
        &target,
        &ExecRequest {
            command,
            tty,
            stdin: true,
            env: Vec::new(),
        },
    )
    .await?)
}

async fn output(process: &mut ExecProcess) -> Result<(String, String), Box<dyn Error>> {
    let (mut out, mut err) = (String::new(), String::new());
    if let Some(stdout) = &mut process.stdout {
        stdout.read_to_string(&mut out).await?;
    }
    if let Some(stderr) = &mut process.stderr {
        stderr.read_to_string(&mut err).await?;
    }
    Ok((out, err))
}

pub(crate) fn check(what: &str, holds: bool) -> Outcome {
    if holds { Ok(()) } else { Err(what.into()) }
}

pub(crate) async fn exec_runs_in_the_units_cgroup_and_reports_its_code(node: &Node) -> Outcome {
    let pod = node.pod(
        10,
        "exec sleep 1000",
        "Always",
        &json!({"securityContext": {"runAsUser": 33}}),
    )?;
    node.start(&pod).await?;
    let begin = std::time::Instant::now();
    let mut process = enter(
        node,
        &pod,
        "cat /proc/self/cgroup; id; echo oops >&2; exit 5",
        false,
    )
    .await?;
    let (out, err) = output(&mut process).await?;
    let status = process.wait().await?;
    println!("  {} ms\n{out}{err}", begin.elapsed().as_millis());
    check("exit code 5", status.code() == Some(5))?;
    check("stderr apart", err == "oops\n")?;
    check(
        "the container's user and groups",
        out.contains("uid=33(web) gid=33(web) groups=33(web),44(extra)") || out.contains("groups=44(extra)"),
    )?;
    check(
        "the unit's cgroup",
        out.lines().any(|l| l.ends_with("name=systemd:/") || l == "0::/"),
    )?;
    stdin_and_kill_reach_the_process(node, &pod).await?;
    node.remove(&pod).await
}

async fn stdin_and_kill_reach_the_process(node: &Node, pod: &Pod) -> Outcome {
    let mut process = enter(node, pod, "cat", false).await?;
    let mut stdin = process.stdin.take().ok_or("no stdin")?;
    stdin.write_all(b"typed").await?;
    drop(stdin);
    check("stdin to stdout", output(&mut process).await?.0 == "typed")?;
    process.wait().await?;
    let target = ContainerRef {
        uid: uid(pod).into(),
        container: "c".into(),
    };
    let mut process = spawn(
        &node.paths,
        &target,
        &ExecRequest {
            command: vec!["/nowhere".into()],
            ..ExecRequest::default()
        },
    )
    .await?;
    println!("  {:?} {:?}", output(&mut process).await?, process.wait().await?);
    let mut process = enter(node, pod, "sleep 500", false).await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    process.kill()?;
    process.wait().await?;
    let (left, _) = output(&mut enter(node, pod, "ls -d /proc/[0-9]*", false).await?).await?;
    println!("  {}", left.replace('\n', " "));
    Ok(())
}

pub(crate) async fn a_terminal_takes_its_size_and_ends(node: &Node) -> Outcome {
    let pod = node.pod(11, "exec sleep 1000", "Always", &json!({}))?;
    node.start(&pod).await?;
    let mut process = enter(node, &pod, "read line; stty size; echo $TERM $line; exit 3", true).await?;
    process.resize(100, 40)?;
    let mut stdin = process.stdin.take().ok_or("no stdin")?;
    stdin.write_all(b"hello\n").await?;
    let (out, _) = output(&mut process).await?;
    let status = process.wait().await?;
    println!("  {out:?} {status:?}");
    check("the size", out.contains("40 100"))?;
    check("the code", status.code() == Some(3))?;
    let target = ContainerRef {
        uid: uid(&pod).into(),
        container: "c".into(),
    };
    let request = ExecRequest {
        command: vec!["/nowhere".into()],
        tty: true,
        ..ExecRequest::default()
    };
    println!(
        "  {:?}",
        spawn(&node.paths, &target, &request)
            .await
            .map(drop)
            .map_err(|e| e.to_string())
    );
    node.remove(&pod).await
}

async fn lines(node: &Node, query: LogQuery) -> Result<Vec<String>, Box<dyn Error>> {
    let mut receiver = read(&node.paths, query);
    let mut all = Vec::new();
    while let Some(line) = receiver.recv().await {
        let line = line?;
        all.push(format!(
            "{:?}:{}",
            line.stream,
            String::from_utf8_lossy(&line.bytes)
        ));
    }
    Ok(all)
}

pub(crate) async fn logs_are_read_back_by_run(node: &Node) -> Outcome {
    let script = "echo one; echo two >&2; echo '<3>three'; sleep 1; echo four; exit 1";
    let pod = node.pod(12, script, "Never", &json!({}))?;
    node.start(&pod).await?;
    let state = agent_runtime::read_state(&node.paths, uid(&pod), "c")?.ok_or("no state")?;
    let base = LogQuery {
        uid: uid(&pod).into(),
        container: "c".into(),
        invocation_id: Some(state.invocation_id),
        ..LogQuery::default()
    };
    let begin = std::time::Instant::now();
    let followed = lines(
        node,
        LogQuery {
            follow: true,
            ..base.clone()
        },
    )
    .await?;
    println!("  followed for {} ms: {followed:?}", begin.elapsed().as_millis());
    let of = |stream: &str| {
        followed
            .iter()
            .filter(|l| l.starts_with(stream))
            .cloned()
            .collect::<Vec<_>>()
    };
    // Each stream keeps its order; between the two there is none, as with two pipes.
    check(
        "all of stdout",
        of("Stdout") == ["Stdout:one", "Stdout:<3>three", "Stdout:four"],
    )?;
    check("all of stderr", of("Stderr") == ["Stderr:two"])?;
    the_tail_and_other_runs_are_told_apart(node, base).await?;
    node.remove(&pod).await
}

async fn the_tail_and_other_runs_are_told_apart(node: &Node, base: LogQuery) -> Outcome {
    let begin = std::time::Instant::now();
    let tail = lines(
        node,
        LogQuery {
            tail: Some(2),
            ..base.clone()
        },
    )
    .await?;
    println!("  tail in {} ms: {tail:?}", begin.elapsed().as_millis());
    check(
        "the last two",
        tail.len() == 2 && tail.last().is_some_and(|l| l == "Stdout:four"),
    )?;
    let other = lines(
        node,
        LogQuery {
            invocation_id: Some("0".repeat(32)),
            ..base.clone()
        },
    )
    .await?;
    check("nothing of another run", other.is_empty())?;
    let all = lines(
        node,
        LogQuery {
            invocation_id: None,
            ..base
        },
    )
    .await?;
    check("every run", all.len() >= 4)
}

pub(crate) async fn a_crash_looping_container_waits_its_back_off_in_systemd(node: &Node) -> Outcome {
    let pod = node.pod(13, "exit 1", "Always", &json!({}))?;
    let bundle = node.start(&pod).await?;
    node.wait("two records and a wait", async || {
        let state = agent_runtime::read_state(&node.paths, uid(&pod), "c")?;
        Ok(node.records(&pod)?.total == 2
            && state.is_some_and(|s| matches!(s.phase, agent_runtime::Phase::Waiting { .. })))
    })
    .await?;
    let listed = node.systemd.list(bundle.service.name.as_str()).await?;
    println!("  {listed:?}");
    let begin = std::time::Instant::now();
    node.systemd.stop(&bundle.service.name).await?;
    println!("  stopped in {} ms", begin.elapsed().as_millis());
    check("no record of what never ran", node.records(&pod)?.total == 2)?;
    check("stopped at once", begin.elapsed() < Duration::from_secs(1))?;
    node.remove(&pod).await
}

pub(crate) async fn a_manager_that_is_executed_anew_is_found_again(node: &Node) -> Outcome {
    let pod = node.pod(14, "exec sleep 1000", "Always", &json!({}))?;
    let bundle = node.start(&pod).await?;
    let mut changes = node.systemd.changes();
    std::process::Command::new("systemctl")
        .arg("daemon-reexec")
        .status()?;
    loop {
        match tokio::time::timeout(Duration::from_secs(10), changes.next())
            .await?
            .ok_or("no manager")?
        {
            agent_systemd::Change::All => break,
            agent_systemd::Change::Unit(_) => {}
        }
    }
    let listed = node.systemd.list("floe-*.service").await?;
    check(
        "the container is still there",
        listed.contains_key(&bundle.service.name),
    )?;
    node.systemd
        .kill(&bundle.service.name, agent_systemd::KillWho::All, 9)
        .await?;
    node.wait("the record of the kill", async || {
        Ok(node.records(&pod)?.total == 1)
    })
    .await?;
    node.wait("a restart", async || {
        let states = node.systemd.list(bundle.service.name.as_str()).await?;
        Ok(states
            .get(&bundle.service.name)
            .is_some_and(|s| s.active == agent_systemd::ActiveState::Active))
    })
    .await?;
    println!("  {:?}", node.records(&pod)?.recent);
    node.remove(&pod).await
}
