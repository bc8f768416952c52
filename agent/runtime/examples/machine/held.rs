//! Claims about containers whose streams are held: stdin and terminals.

use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use agent_run::attach::Wanted;
use agent_runtime::attach::{Attached, Detached, attach};
use agent_runtime::exec::{ContainerRef, ExecRequest, spawn};
use agent_systemd::UnitManager as _;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::live::check;
use crate::node::{Node, uid};

type Outcome = Result<(), Box<dyn Error>>;

const ALL: Wanted = Wanted {
    stdin: true,
    stdout: true,
    stderr: true,
};

fn target(pod: &Pod) -> ContainerRef {
    ContainerRef {
        uid: uid(pod).into(),
        container: "c".into(),
    }
}

async fn enter(node: &Node, pod: &Pod) -> Result<Attached, Box<dyn Error>> {
    let attached = attach(&node.paths, &target(pod), ALL).await?;
    Ok(attached.ok_or("its streams are not held")?)
}

async fn type_in(attached: &mut Attached, text: &str) -> Outcome {
    let stdin = attached.stdin.as_mut().ok_or("no stdin")?;
    Ok(stdin.write_all(text.as_bytes()).await?)
}

/// Reads stdout until `wanted` has come.
async fn until(attached: &mut Attached, wanted: &str) -> Result<String, Box<dyn Error>> {
    let stdout = attached.stdout.as_mut().ok_or("no stdout")?;
    let mut seen = String::new();
    while !seen.contains(wanted) {
        let mut piece = [0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(10), stdout.read(&mut piece)).await;
        let count = read.map_err(|_| format!("{wanted:?} never came after {seen:?}"))??;
        if count == 0 {
            return Err(format!("the end instead of {wanted:?}, after {seen:?}").into());
        }
        seen.push_str(&String::from_utf8_lossy(piece.get(..count).unwrap_or_default()));
    }
    Ok(seen)
}

/// All of stdout and stderr, and how the attachment ended.
async fn rest(attached: &mut Attached) -> Result<(String, String, Detached), Box<dyn Error>> {
    let (mut out, mut err) = (String::new(), String::new());
    let (stdout, stderr) = (attached.stdout.as_mut(), attached.stderr.as_mut());
    let (stdout, stderr) = (stdout.ok_or("no stdout")?, stderr.ok_or("no stderr")?);
    let (a, b) = tokio::join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err));
    a?;
    b?;
    Ok((out, err, attached.wait().await))
}

async fn ended(node: &Node, pod: &Pod) -> Result<agent_runtime::Record, Box<dyn Error>> {
    node.wait("a record", async || Ok(node.records(pod)?.total == 1))
        .await?;
    Ok(node.records(pod)?.last().cloned().ok_or("no record")?)
}

/// What is logged of a run.
fn journal(record: &agent_runtime::Record) -> Result<String, Box<dyn Error>> {
    logged_as(&format!("_SYSTEMD_INVOCATION_ID={}", record.invocation_id))
}

fn logged_as(field: &str) -> Result<String, Box<dyn Error>> {
    let shown = Command::new("journalctl")
        .args(["-o", "cat", "--no-pager", field])
        .output()?;
    Ok(String::from_utf8_lossy(&shown.stdout).into_owned())
}

/// Waits until the pod has said `word`, with nobody attached.
async fn said(node: &Node, pod: &Pod, word: &str) -> Outcome {
    let field = format!("FLOE_POD_UID={}", uid(pod));
    node.wait(word, async || Ok(logged_as(&field)?.contains(word)))
        .await
}

pub(crate) async fn a_terminal_outlives_those_who_attach(node: &Node) -> Outcome {
    let more = json!({"tty": true, "stdin": true});
    let pod = node.pod(50, "echo up; exec sh", "Never", &more)?;
    node.start(&pod).await?;
    let mut first = enter(node, &pod).await?;
    first.resize(100, 40);
    type_in(
        &mut first,
        "stty size; echo $TERM-$((40 + 2)); ls -l /proc/1/fd; x=kept\n",
    )
    .await?;
    let seen = until(&mut first, "xterm-42").await?;
    println!("  {seen:?}");
    check("the size", seen.contains("40 100"))?;
    drop(first);
    let mut second = enter(node, &pod).await?;
    let mut beside = enter(node, &pod).await?;
    type_in(&mut second, "echo $x-again; exit 3\n").await?;
    check(
        "both hear",
        until(&mut beside, "kept-again").await?.contains('\r'),
    )?;
    let (out, err, end) = rest(&mut second).await?;
    println!("  {out:?} {end:?}");
    check(
        "all of it, on stdout",
        out.contains("kept-again") && err.is_empty() && end == Detached::Done,
    )?;
    let record = ended(node, &pod).await?;
    check("the code", record.exit_code == 3)?;
    let logged = journal(&record)?;
    check("logged", logged.contains("up\n") && logged.contains("kept-again"))?;
    node.remove(&pod).await
}

pub(crate) async fn stdin_ends_with_the_first_who_had_it(node: &Node) -> Outcome {
    let more = json!({"stdin": true, "stdinOnce": true});
    let script = "printf 'early\\n\\n  '; cat; echo bad >&2; printf done; exit 4";
    let pod = node.pod(51, script, "Never", &more)?;
    node.start(&pod).await?;
    said(node, &pod, "early").await?;
    let mut attached = enter(node, &pod).await?;
    type_in(&mut attached, "typed\n").await?;
    drop(attached.stdin.take());
    let (out, err, end) = rest(&mut attached).await?;
    println!("  {out:?} {err:?} {end:?}");
    check("every byte", out == "early\n\n  typed\ndone")?;
    check("stderr apart", err == "bad\n" && end == Detached::Done)?;
    let record = ended(node, &pod).await?;
    check("the code", record.exit_code == 4)?;
    let logged = journal(&record)?;
    check(
        "logged",
        ["early", "typed", "bad", "done"]
            .iter()
            .all(|l| logged.contains(l)),
    )?;
    node.remove(&pod).await
}

pub(crate) async fn stdin_stays_open_for_the_next(node: &Node) -> Outcome {
    let pod = node.pod(52, "cat", "Never", &json!({"stdin": true}))?;
    let bundle = node.start(&pod).await?;
    for word in ["one", "two"] {
        let mut attached = enter(node, &pod).await?;
        type_in(&mut attached, word).await?;
        drop(attached.stdin.take());
        let (out, _, end) = rest(&mut attached).await?;
        check(
            "the answer, then the end of the attachment",
            out == word && end == Detached::Done,
        )?;
    }
    check("it runs on", node.records(&pod)?.total == 0)?;
    node.systemd.stop(&bundle.service.name).await?;
    node.remove(&pod).await
}

pub(crate) async fn a_held_container_ends_as_its_process_does(node: &Node) -> Outcome {
    let more = json!({"stdin": true});
    let pod = node.pod(53, "exec sleep 1000", "Always", &more)?;
    let bundle = node.start(&pod).await?;
    let pid = std::fs::read_to_string(bundle.dir.join("pid"))?;
    Command::new("kill").args(["-KILL", pid.trim()]).status()?;
    let record = ended(node, &pod).await?;
    println!("  {record:?}");
    check("the signal", (record.exit_code, record.signal) == (137, 9))?;
    // systemd starts it again, with a holder of its own.
    node.wait("the next run", async || {
        Ok(std::fs::read_to_string(bundle.dir.join("pid")).is_ok_and(|next| next != pid))
    })
    .await?;
    drop(enter(node, &pod).await?);
    node.remove(&pod).await?;

    let script =
        "trap 'echo asked; exit 5' TERM; trap 'exit 6' USR1; echo ready; while :; do sleep 0.1; done";
    let pod = node.pod(54, script, "Never", &more)?;
    let bundle = node.start(&pod).await?;
    said(node, &pod, "ready").await?;
    let mut attached = enter(node, &pod).await?;
    node.systemd.stop(&bundle.service.name).await?;
    let (out, _, end) = rest(&mut attached).await?;
    check("its last words", out == "asked\n" && end == Detached::Done)?;
    check("the code of its trap", ended(node, &pod).await?.exit_code == 5)?;
    node.remove(&pod).await
}

pub(crate) async fn held_containers_that_end_at_once_report_every_code(node: &Node) -> Outcome {
    for code in 0..20 {
        let more = json!({"stdin": true, "tty": code % 2 == 0});
        let pod = node.pod(
            60 + code,
            &format!("echo {code}; exit {code}"),
            "OnFailure",
            &more,
        )?;
        node.start(&pod).await?;
        node.wait("a record", async || Ok(node.records(&pod)?.total >= 1))
            .await?;
        let first = node.records(&pod)?.recent.first().cloned().ok_or("no record")?;
        check(
            "the code",
            u32::try_from(first.exit_code)? == code && first.start_error.is_none(),
        )?;
        // One that went well is not run again.
        check("one run", code > 0 || node.records(&pod)?.total == 1)?;
        node.remove(&pod).await?;
    }
    let more = json!({"stdin": true, "tty": true, "command": ["/nowhere"]});
    let pod = node.pod(59, "", "Never", &more)?;
    node.start(&pod).await?;
    let record = ended(node, &pod).await?;
    println!("  {record:?}");
    check(
        "why it never started",
        record.exit_code == 128 && record.start_error.unwrap_or_default().contains("/nowhere"),
    )?;
    node.remove(&pod).await
}

pub(crate) async fn the_last_words_of_a_held_container_are_heard(node: &Node) -> Outcome {
    for (n, more) in [
        (55, json!({"stdin": true, "stdinOnce": true})),
        (56, json!({"stdin": true, "stdinOnce": true, "tty": true})),
    ] {
        let pod = node.pod(n, "read go; seq 1 60000; exit 7", "Never", &more)?;
        node.start(&pod).await?;
        let mut attached = enter(node, &pod).await?;
        type_in(&mut attached, "go\n").await?;
        let begin = Instant::now();
        let (out, _, end) = rest(&mut attached).await?;
        println!("  {} bytes in {} ms", out.len(), begin.elapsed().as_millis());
        let record = ended(node, &pod).await?;
        let numbers: Vec<&str> = out
            .split_ascii_whitespace()
            .filter(|word| *word != "go")
            .collect();
        check(
            "every line once",
            numbers.len() == 60_000 && numbers.last() == Some(&"60000"),
        )?;
        check("the end", end == Detached::Done && record.exit_code == 7)?;
        node.wait("every line in the journal", async || {
            let logged = journal(&record)?;
            Ok(logged.lines().filter(|line| line.parse::<u32>().is_ok()).count() == 60_000)
        })
        .await?;
        node.remove(&pod).await?;
    }
    Ok(())
}

pub(crate) async fn one_who_reads_nothing_is_cut_off(node: &Node) -> Outcome {
    let pod = node.pod(
        57,
        "read go; seq 1 300000; exit 0",
        "Never",
        &json!({"stdin": true}),
    )?;
    node.start(&pod).await?;
    let mut deaf = enter(node, &pod).await?;
    type_in(&mut deaf, "go\n").await?;
    let begin = Instant::now();
    let record = ended(node, &pod).await?;
    println!("  held up for {} s", begin.elapsed().as_secs());
    check(
        "it went on",
        record.exit_code == 0 && begin.elapsed() > Duration::from_secs(20),
    )?;
    let (_, _, end) = rest(&mut deaf).await?;
    check("it is told", end == Detached::CutOff)?;
    node.remove(&pod).await
}

pub(crate) async fn commands_that_cannot_be_executed_have_the_codes_of_shells(node: &Node) -> Outcome {
    let pod = node.pod(58, "exec sleep 1000", "Always", &json!({}))?;
    node.start(&pod).await?;
    for (command, tty, code, words) in [
        (
            "nowhere",
            false,
            127,
            "exec: \"nowhere\": executable file not found in $PATH\n",
        ),
        (
            "nowhere",
            true,
            127,
            "exec: \"nowhere\": executable file not found in $PATH\r\n",
        ),
        (
            "/nowhere",
            false,
            127,
            "stat /nowhere: no such file or directory\n",
        ),
        (
            "/etc/passwd",
            false,
            126,
            "exec: \"/etc/passwd\": permission denied\n",
        ),
        (
            "/etc/passwd",
            true,
            126,
            "exec: \"/etc/passwd\": permission denied\r\n",
        ),
    ] {
        let request = ExecRequest {
            command: vec![command.into()],
            tty,
            ..ExecRequest::default()
        };
        let mut process = spawn(&node.paths, &target(&pod), &request).await?;
        let mut said = String::new();
        let output = if tty {
            process.stdout.as_mut()
        } else {
            process.stderr.as_mut()
        };
        output.ok_or("no output")?.read_to_string(&mut said).await?;
        let status = process.wait().await?;
        println!("  {status:?} {said:?}");
        check(
            command,
            status.code() == Some(code)
                && said.starts_with("OCI runtime exec failed")
                && said.ends_with(words),
        )?;
    }
    node.remove(&pod).await
}
