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
    without_numbers(&text)
}

/// Takes out the system's error numbers: the words before them say the same.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once(')').map_or("", |(_, rest)| rest))
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

    use super::{sentence, without_numbers};

    #[test]
    fn error_numbers_are_left_out() {
        assert_eq!(without_numbers("a: No such file (os error 2); b"), "a: No such file; b");
        assert_eq!(without_numbers("plain (text)"), "plain (text)");
    }

    #[test]
    fn a_cause_that_is_quoted_is_not_repeated() {
        let inner = || anyhow::anyhow!("connection refused");
        let quoting = Err::<(), _>(inner()).context("cannot connect: connection refused");
        assert_eq!(sentence(&quoting.expect_err("made")), "cannot connect: connection refused");
        let adding = Err::<(), _>(inner()).context("cannot list topics");
        assert_eq!(sentence(&adding.expect_err("made")), "cannot list topics: connection refused");
    }
}
