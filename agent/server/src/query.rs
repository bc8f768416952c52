//! Query strings of the kubelet's API, read into options. Pure.

use std::str::FromStr;

use crate::access::{ExecOptions, LogOptions, OutputStream, Since};
use crate::refusal::Refusal;

/// The decoded pairs of a query string, in order.
pub(crate) type Pairs = Vec<(String, String)>;

/// Reads `PodLogOptions` (core/v1) as the kubelet's `/containerLogs` takes them.
///
/// # Errors
///
/// 400 that names the first value which is out of range.
pub(crate) fn log_options(pairs: &Pairs) -> Result<LogOptions, Refusal> {
    Ok(LogOptions {
        follow: flag(pairs, "follow"),
        previous: flag(pairs, "previous"),
        timestamps: flag(pairs, "timestamps"),
        tail_lines: number(pairs, "tailLines", 0)?,
        since: since(pairs)?,
        limit_bytes: number(pairs, "limitBytes", 1)?,
        stream: stream(pairs)?,
    })
}

/// `stream`, which does not go with `tailLines` (validation, `ValidatePodLogOptions`).
fn stream(pairs: &Pairs) -> Result<Option<OutputStream>, Refusal> {
    let stream = match values(pairs, "stream").next() {
        None | Some("" | "All") => return Ok(None),
        Some("Stdout") => OutputStream::Stdout,
        Some("Stderr") => OutputStream::Stderr,
        Some(other) => {
            return Err(Refusal::bad_request(format!(
                "invalid stream \"{other}\": must be All, Stdout or Stderr"
            )));
        }
    };
    if values(pairs, "tailLines").next().is_some() {
        return Err(Refusal::bad_request(
            "`tailLines` and specific `stream` are mutually exclusive for now",
        ));
    }
    Ok(Some(stream))
}

/// Reads the streams and the command of `/exec`, or of `/attach`, which has none.
///
/// A terminal has one output, so `tty` takes standard error away (kubelet, remotecommand `NewOptions`).
///
/// # Errors
///
/// 400 where no stream is asked for.
pub(crate) fn exec_options(pairs: &Pairs) -> Result<ExecOptions, Refusal> {
    let tty = flag(pairs, "tty");
    let options = ExecOptions {
        command: values(pairs, "command").map(str::to_owned).collect(),
        stdin: flag(pairs, "input"),
        stdout: flag(pairs, "output"),
        stderr: flag(pairs, "error") && !tty,
        tty,
    };
    if options.stdin || options.stdout || options.stderr {
        return Ok(options);
    }
    Err(Refusal::bad_request(
        "you must specify at least 1 of stdin, stdout, stderr",
    ))
}

fn since(pairs: &Pairs) -> Result<Option<Since>, Refusal> {
    let seconds = number(pairs, "sinceSeconds", 1)?.map(Since::Seconds);
    let time = parsed(pairs, "sinceTime", "an RFC 3339 time")?.map(Since::Time);
    match (seconds, time) {
        (Some(_), Some(_)) => Err(Refusal::bad_request(
            "at most one of sinceTime or sinceSeconds may be specified",
        )),
        (seconds, time) => Ok(seconds.or(time)),
    }
}

fn number(pairs: &Pairs, name: &str, least: u64) -> Result<Option<u64>, Refusal> {
    let found = parsed(pairs, name, "a whole number that is not negative")?;
    match found {
        Some(value) if value < least => Err(Refusal::bad_request(format!(
            "invalid {name} \"{value}\": must be at least {least}"
        ))),
        found => Ok(found),
    }
}

fn parsed<T: FromStr>(pairs: &Pairs, name: &str, wanted: &str) -> Result<Option<T>, Refusal> {
    let Some(text) = values(pairs, name).next().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let refuse = |_| Refusal::bad_request(format!("invalid {name} \"{text}\": must be {wanted}"));
    text.parse().map(Some).map_err(refuse)
}

/// Kubernetes reads a query flag as true unless it is `0` or `false` (apimachinery, `Convert_Slice_string_To_bool`).
fn flag(pairs: &Pairs, name: &str) -> bool {
    values(pairs, name)
        .next()
        .is_some_and(|text| text != "0" && !text.eq_ignore_ascii_case("false"))
}

fn values<'a>(pairs: &'a Pairs, name: &'a str) -> impl Iterator<Item = &'a str> {
    pairs
        .iter()
        .filter(move |(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(of: &[(&str, &str)]) -> Pairs {
        of.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn log_options_are_read_in_full() {
        let query = pairs(&[
            ("follow", "true"),
            ("previous", "1"),
            ("timestamps", ""),
            ("tailLines", "0"),
            ("sinceTime", "2026-01-02T03:04:05Z"),
            ("limitBytes", "9"),
        ]);
        let options = log_options(&query).unwrap();
        assert!(options.follow && options.previous && options.timestamps);
        assert_eq!((options.tail_lines, options.limit_bytes), (Some(0), Some(9)));
        let time: jiff::Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(options.since, Some(Since::Time(time)));
    }

    #[test]
    fn log_options_out_of_range_are_refused_by_name() {
        let cases = [
            ("tailLines", "-1"),
            ("tailLines", "many"),
            ("limitBytes", "0"),
            ("sinceSeconds", "0"),
            ("sinceTime", "yesterday"),
            ("stream", "stdout"),
        ];
        for (name, value) in cases {
            let refusal = log_options(&pairs(&[(name, value)])).unwrap_err();
            assert!(
                format!("{refusal:?}").contains(name),
                "{name}={value}: {refusal:?}"
            );
        }
        let both = pairs(&[("sinceSeconds", "5"), ("sinceTime", "2026-01-02T03:04:05Z")]);
        assert!(log_options(&both).is_err());
        assert!(log_options(&pairs(&[("stream", "Stdout"), ("tailLines", "1")])).is_err());
    }

    #[test]
    fn one_stream_of_a_log_is_asked_for_by_name() {
        let streams = [
            ("Stdout", Some(OutputStream::Stdout)),
            ("Stderr", Some(OutputStream::Stderr)),
            ("All", None),
        ];
        for (name, stream) in streams {
            assert_eq!(log_options(&pairs(&[("stream", name)])).unwrap().stream, stream);
        }
        assert!(log_options(&pairs(&[("stream", "All"), ("tailLines", "1")])).is_ok());
    }

    #[test]
    fn a_flag_is_set_unless_it_is_denied() {
        for (text, set) in [
            ("", true),
            ("true", true),
            ("1", true),
            ("yes", true),
            ("0", false),
            ("False", false),
        ] {
            assert_eq!(
                log_options(&pairs(&[("follow", text)])).unwrap().follow,
                set,
                "{text}"
            );
        }
    }

    #[test]
    fn commands_keep_their_order_and_a_terminal_has_no_stderr() {
        let query = pairs(&[
            ("command", "sh"),
            ("command", "-c"),
            ("command", "echo a&b"),
            ("input", "1"),
            ("output", "1"),
            ("error", "1"),
            ("tty", "1"),
        ]);
        let options = exec_options(&query).unwrap();
        assert_eq!(options.command, ["sh", "-c", "echo a&b"]);
        assert!(options.stdin && options.stdout && options.tty && !options.stderr);
    }

    #[test]
    fn an_exec_without_streams_is_refused() {
        assert!(exec_options(&pairs(&[("command", "true"), ("output", "false")])).is_err());
    }
}
