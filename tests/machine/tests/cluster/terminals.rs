//! Terminals and stdin: attach, run, and the codes of exec.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use tests_harness::{BUSYBOX, Cluster, Namespace, Node as _, eventually};
use tests_machine::pod;

/// A pod whose container has stdin, and a terminal where `tty` says so.
fn attachable(name: &str, tty: bool, script: &str) -> String {
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main",
                "image": BUSYBOX,
                "command": ["/bin/sh", "-c", script],
                "stdin": true,
                "tty": tty,
            }],
        },
    })
    .to_string()
}

fn kubectl(cluster: &Cluster, namespace: &str, words: &[&str]) -> Result<Command> {
    let words: Vec<&str> = ["--namespace", namespace].iter().chain(words).copied().collect();
    Ok(cluster.kubectl()?.command(&words))
}

/// kubectl on a terminal of 33 rows and 77 columns that `script` makes.
pub(crate) fn on_a_terminal(cluster: &Cluster, namespace: &str, words: &[&str]) -> Result<Child> {
    let command = kubectl(cluster, namespace, words)?;
    let line = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted: Vec<_> = line.map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let script = format!("stty rows 33 cols 77; {}", quoted.join(" "));
    Command::new("script")
        .args(["-qec", &script, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start script")
}

/// Reads until `wanted` is shown; a program that ends before is an error.
pub(crate) fn shows(child: &mut Child, wanted: &str) -> Result<String> {
    let output = child.stdout.as_mut().context("no output")?;
    let mut seen = String::new();
    let mut piece = [0; 4096];
    while !seen.contains(wanted) {
        let count = output.read(&mut piece)?;
        ensure!(count > 0, "it ended before it showed {wanted:?}: {seen:?}");
        seen.push_str(&String::from_utf8_lossy(piece.get(..count).unwrap_or_default()));
    }
    Ok(seen)
}

pub(crate) fn types(child: &mut Child, text: &str) -> Result<()> {
    let input = child.stdin.as_mut().context("no input")?;
    input.write_all(text.as_bytes())?;
    Ok(input.flush()?)
}

fn ready(ns: &Namespace, name: &str) -> Result<()> {
    let pod = format!("pod/{name}");
    ns.succeed(&["wait", "--for=condition=Ready", &pod, "--timeout=240s"])
        .map(drop)
}

pub(crate) fn attach_on_a_terminal(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("attach-tty")?;
    ns.apply(&attachable("shell", true, "exec sh"))?;
    ready(&ns, "shell")?;
    let mut first = on_a_terminal(cluster, "attach-tty", &["attach", "-it", "shell"])?;
    // The size comes as a message of its own, after the session has begun.
    types(
        &mut first,
        "kept=yes; until [ \"$(stty size)\" = '33 77' ]; do sleep 0.1; done; echo size-$(stty size | tr ' ' x)\n",
    )?;
    shows(&mut first, "size-33x77")?;
    first.kill()?;
    first.wait()?;
    // The agent comes and goes; the terminal stays.
    cluster.node().execute("systemctl restart floe-agent")?;
    let mut second = eventually("an attachment after the agent's restart", || {
        let mut again = on_a_terminal(cluster, "attach-tty", &["attach", "-it", "shell"])?;
        types(&mut again, "echo still-$kept\n")?;
        shows(&mut again, "still-yes")?;
        Ok(again)
    })?;
    types(&mut second, "exit 9\n")?;
    second.wait()?;
    let found = ns.wait_for("pod", "shell", |found| found["status"]["phase"] == "Failed")?;
    let code = found.pointer("/status/containerStatuses/0/state/terminated/exitCode");
    ensure!(code.is_some_and(|code| code == 9), "{found}");
    let logs = ns.succeed(&["logs", "shell"])?;
    ensure!(
        logs.contains("size-33x77") && logs.contains("still-yes"),
        "the terminal's output is not in the log: {logs}"
    );
    Ok(())
}

pub(crate) fn attach_by_a_pipe(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("attach-pipe")?;
    ns.apply(&attachable(
        "echo",
        false,
        "while read line; do echo \"got $line\"; done",
    ))?;
    ready(&ns, "echo")?;
    for word in ["one", "two"] {
        let answer = format!("got {word}\n");
        let said = ns.talk(&["attach", "-i", "echo"], &format!("{word}\n"), &answer)?;
        ensure!(said == answer, "{said:?}");
    }
    let logs = ns.succeed(&["logs", "echo"])?;
    ensure!(logs == "got one\ngot two\n", "{logs:?}");
    only_listened_to(&ns)
}

/// A container without stdin is only listened to. It speaks until it is told to end, which it is once it was heard.
fn only_listened_to(ns: &Namespace) -> Result<()> {
    let script = "until test -e /tmp/end; do echo hello; echo oops >&2; sleep 0.1; done";
    ns.apply(&pod("talker", "Never", script))?;
    ready(ns, "talker")?;
    let mut listener = ns.start(&["attach", "talker"])?;
    shows(&mut listener, "hello")?;
    ns.succeed(&["exec", "talker", "--", "touch", "/tmp/end"])?;
    let heard = listener.wait_with_output()?;
    let errors = String::from_utf8_lossy(&heard.stderr).into_owned();
    ensure!(
        heard.status.success() && errors.contains("oops"),
        "{}: {errors}",
        heard.status
    );
    Ok(())
}

pub(crate) fn run(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("run-it")?;
    let image = format!("--image={BUSYBOX}");
    let run = |name: &'static str| {
        [
            "run",
            "-i",
            "--rm",
            "--restart=Never",
            "--quiet",
            image.as_str(),
            name,
        ]
    };
    // Bytes that a log of lines would lose: empty lines, blanks at the end, no line feed at the end.
    let text = "one\n\n  two  \nthree";
    let said = ns.feed(&[run("copy").as_slice(), &["--", "cat"]].concat(), text)?;
    ensure!(said == text, "{said:?}");
    let quick = ns.feed(&[run("quick").as_slice(), &["--", "echo", "hi"]].concat(), "")?;
    ensure!(quick.trim() == "hi", "{quick:?}");
    let failed = ns.execute(&[run("fails").as_slice(), &["--", "sh", "-c", "exit 6"]].concat())?;
    ensure!(failed.code == 6, "{} {}", failed.code, failed.output);
    let words = [
        "run",
        "-it",
        "--rm",
        "--restart=Never",
        image.as_str(),
        "shell",
        "--",
        "sh",
    ];
    let mut shell = on_a_terminal(cluster, "run-it", &words)?;
    types(&mut shell, "tty; echo sum-$((40 + 2)); exit\n")?;
    let seen = shows(&mut shell, "pod \"shell\" deleted")?;
    shell.wait()?;
    ensure!(
        seen.contains("/dev/pts/") || seen.contains("/dev/console"),
        "{seen:?}"
    );
    ensure!(seen.contains("sum-42"), "{seen:?}");
    eventually("the pods of `kubectl run --rm` to be gone", || {
        let left = ns.succeed(&["get", "pods", "-o", "name"])?;
        ensure!(left.trim().is_empty() || left.contains("No resources"), "{left}");
        Ok(())
    })
}

pub(crate) fn exec_codes(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("exec-codes")?;
    ns.apply(&pod("box", "Always", "sleep 3600"))?;
    ready(&ns, "box")?;
    for (command, code, words) in [
        ("nowhere", 127, "executable file not found in $PATH"),
        ("/nowhere", 127, "no such file or directory"),
        ("/etc/passwd", 126, "permission denied"),
    ] {
        for how in [["exec", "box"].as_slice(), &["exec", "-it", "box"]] {
            let done = ns.execute(&[how, &["--", command]].concat())?;
            ensure!(
                done.code == code
                    && done.output.contains("OCI runtime exec failed")
                    && done.output.contains(words)
                    && done
                        .output
                        .contains(&format!("command terminated with exit code {code}")),
                "{command} ended with {}: {}",
                done.code,
                done.output
            );
        }
    }
    Ok(())
}
