//! The `testScript` of a NixOS test, as far as it is simple calls, one a line: so the same files run on
//! machines that are not NixOS.

use anyhow::{Context, Result, bail, ensure};

use crate::Node;

/// A test script, read.
#[derive(Debug, PartialEq, Eq)]
pub struct Script(Vec<Call>);

/// `machine.method(argument)`.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    line: usize,
    machine: String,
    method: String,
    argument: String,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    ///
    /// Names the first line that is more than a call of one machine's method with one argument.
    pub fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().map(str::trim).enumerate();
        let calls = lines.filter(|(_, line)| !is_nothing(line));
        let calls = calls.map(|(index, line)| {
            call(index + 1, line).with_context(|| format!("line {} of the test script: {line}", index + 1))
        });
        Ok(Self(calls.collect::<Result<_>>()?))
    }

    /// Plays the script on `node`, which goes by its own name in it.
    ///
    /// # Errors
    ///
    /// Of the first line that fails.
    pub fn run(&self, node: &impl Node) -> Result<()> {
        for call in &self.0 {
            ensure!(
                call.machine == node.name(),
                "line {}: no machine {}",
                call.line,
                call.machine
            );
            call.play(node)
                .with_context(|| format!("line {} of the test script", call.line))?;
        }
        Ok(())
    }
}

/// Machines are started already, comments and headings do nothing.
fn is_nothing(line: &str) -> bool {
    line.is_empty() || line.starts_with('#') || line == "start_all()" || line.starts_with("with subtest(")
}

fn call(line: usize, text: &str) -> Result<Call> {
    let (machine, rest) = text.split_once('.').context("no machine is called")?;
    let (method, rest) = rest.split_once('(').context("no method is called")?;
    let argument = rest
        .strip_suffix(')')
        .context("the call goes on after its line")?;
    Ok(Call {
        line,
        machine: machine.to_owned(),
        method: method.to_owned(),
        argument: literal(argument)?,
    })
}

/// The value of a number, or of a text between double quotes.
fn literal(text: &str) -> Result<String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .context("the argument is neither a number nor one text in double quotes")?;
    let mut value = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => bail!("more than one text"),
            '\\' => value.push(match chars.next() {
                Some(c @ ('"' | '\\' | '\'')) => c,
                Some('n') => '\n',
                other => bail!("the escape {other:?} is not known"),
            }),
            c => value.push(c),
        }
    }
    Ok(value)
}

impl Call {
    fn play(&self, node: &impl Node) -> Result<()> {
        let argument = self.argument.as_str();
        match self.method.as_str() {
            "succeed" => node.succeed(argument).map(drop),
            "fail" => node.fail(argument).map(drop),
            "wait_until_succeeds" => node.wait_until_succeeds(argument).map(drop),
            "wait_until_fails" => node.wait_until_fails(argument).map(drop),
            "wait_for_unit" => node.wait_for_unit(argument),
            "wait_for_file" => node.wait_for_file(argument),
            "wait_for_open_port" => node.wait_for_open_port(argument.parse()?),
            other => bail!("the method {other} is not known here"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_comments_and_headings_are_read() {
        let text = "start_all()\n# why\nwith subtest(\"one\"):\n    a.succeed(\"echo \\\"x\\\" 'y'\")\n\na.wait_for_open_port(6443)\n";
        let script = Script::parse(text).unwrap();
        let call = |line, method: &str, argument: &str| Call {
            line,
            machine: "a".to_owned(),
            method: method.to_owned(),
            argument: argument.to_owned(),
        };
        assert_eq!(
            script,
            Script(vec![
                call(4, "succeed", "echo \"x\" 'y'"),
                call(6, "wait_for_open_port", "6443"),
            ])
        );
    }

    #[test]
    fn what_is_no_simple_call_is_named_with_its_line() {
        for line in [
            "import time",
            "a.succeed(\"x\", timeout=5)",
            "a.succeed(",
            "x = a.succeed(\"y\")[0]",
            "a.succeed(f\"{x}\")",
            "a.succeed(\"a\" \"b\")",
        ] {
            let error = format!("{:#}", Script::parse(&format!("\n{line}\n")).unwrap_err());
            assert!(
                error.contains("line 2") && error.contains(line),
                "{line}: {error}"
            );
        }
    }
}
