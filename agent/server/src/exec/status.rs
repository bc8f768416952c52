//! The last word of a session: a v1 Status on the error channel. Pure.
//!
//! Source: kubelet, `remotecommand.ServeExec`; client-go reads it in `remotecommand/v4.go`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Status, StatusCause, StatusDetails};

use crate::access::{AccessError, Exit};
use crate::refusal::{chain, status_of};

/// The session ended well.
pub(crate) fn success() -> Status {
    Status {
        status: Some("Success".to_owned()),
        ..Status::default()
    }
}

/// The process ended; clients take its exit code from the cause.
pub(crate) fn exited(exit: Exit) -> Status {
    if exit == Exit::Code(0) {
        return success();
    }
    let code = exit.code();
    let message = match exit {
        Exit::Code(_) => format!("command terminated with non-zero exit code: {code}"),
        Exit::Signal(signal) => {
            format!("command terminated with non-zero exit code: {code} (signal {signal})")
        }
    };
    Status {
        details: Some(StatusDetails {
            causes: Some(vec![StatusCause {
                message: Some(code.to_string()),
                reason: Some("ExitCode".to_owned()),
                ..StatusCause::default()
            }]),
            ..StatusDetails::default()
        }),
        ..failure("NonZeroExitCode", message)
    }
}

/// The session did not come about.
pub(crate) fn refused(error: &AccessError) -> Status {
    let (status, text) = (status_of(error), chain(error));
    let (reason, message) = match error {
        AccessError::PodNotFound { .. } | AccessError::ContainerNotFound { .. } => ("NotFound", text),
        AccessError::NotReady { .. } | AccessError::NoPrevious { .. } => ("BadRequest", text),
        AccessError::Unsupported { .. } => ("NotImplemented", text),
        AccessError::Failed { .. } => ("InternalError", internal(&text)),
    };
    Status {
        code: Some(i32::from(status.as_u16())),
        ..failure(reason, message)
    }
}

/// The process was lost sight of.
pub(crate) fn lost(error: &std::io::Error) -> Status {
    Status {
        code: Some(500),
        ..failure(
            "InternalError",
            internal(&format!("wait for the process: {error}")),
        )
    }
}

/// The agent stops. Without a Status, client-go would take the end of the stream for success.
pub(crate) fn stopped() -> Status {
    Status {
        code: Some(503),
        ..failure(
            "ServiceUnavailable",
            "the node's agent stops and has ended this session; connect again".to_owned(),
        )
    }
}

fn internal(text: &str) -> String {
    format!("Internal error occurred: {text}")
}

fn failure(reason: &str, message: String) -> Status {
    Status {
        status: Some("Failure".to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message),
        ..Status::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_where_client_go_looks_for_it() {
        let status = serde_json::to_value(exited(Exit::Code(7))).unwrap();
        assert_eq!(status["status"], "Failure");
        assert_eq!(status["reason"], "NonZeroExitCode");
        assert_eq!(status["details"]["causes"][0]["reason"], "ExitCode");
        assert_eq!(status["details"]["causes"][0]["message"], "7");
    }

    #[test]
    fn a_signal_is_told_as_shells_tell_it() {
        let status = serde_json::to_value(exited(Exit::Signal(9))).unwrap();
        assert_eq!(status["details"]["causes"][0]["message"], "137");
    }

    #[test]
    fn code_zero_is_success() {
        assert_eq!(exited(Exit::Code(0)), success());
    }
}
