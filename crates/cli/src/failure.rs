//! What a person sees when a command fails: one sentence that says what to do, and an exit code.

use std::io;
use std::process::ExitCode;

/// Writes the sentence to the standard error. Nothing is wrong when the reader of our output has seen enough.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {}", sentence(error));
    ExitCode::FAILURE
}

/// The error and its causes, each once: many errors quote their cause.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io_error = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().map(io::Error::kind) == Some(io::ErrorKind::BrokenPipe)
    };
    error.chain().any(io_error)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::sentence;

    #[test]
    fn a_cause_that_is_quoted_is_not_repeated() {
        let inner = || anyhow::anyhow!("connection refused");
        let quoting = Err::<(), _>(inner()).context("cannot connect: connection refused");
        assert_eq!(sentence(&quoting.expect_err("made")), "cannot connect: connection refused");
        let adding = Err::<(), _>(inner()).context("cannot list topics");
        assert_eq!(sentence(&adding.expect_err("made")), "cannot list topics: connection refused");
    }
}
