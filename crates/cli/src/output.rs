//! What commands print: tables for people, JSON for scripts. Everything goes through one writer, so that a reader who
//! goes away ends the command instead of making it panic.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// The shape of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

/// The argument for it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct OutputArgs {
    /// Tables are for people, JSON is for scripts
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

impl OutputArgs {
    /// Prints rows under a header, or the values behind them as JSON.
    pub(crate) fn rows<T: Serialize>(
        &self,
        header: &[&str],
        values: &[T],
        row: impl Fn(&T) -> Vec<String>,
    ) -> anyhow::Result<()> {
        match self.output {
            Format::Table => table(header, values.iter().map(row)),
            Format::Json => json(&values),
        }
    }

    /// Prints a sentence for people; scripts get the value.
    pub(crate) fn done<T: Serialize>(&self, sentence: &str, value: &T) -> anyhow::Result<()> {
        match self.output {
            Format::Table => line(sentence),
            Format::Json => json(value),
        }
    }
}

/// Prints one line.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Prints a value as JSON, indented.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Prints a table the way kubectl does: upper-case heads, no lines.
pub(crate) fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|head| head.to_uppercase()));
    rows.for_each(|row| {
        table.add_row(row);
    });
    let text = table.to_string();
    let lines: Vec<_> = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    line(&lines.join("\n"))
}

/// `value`, or a dash where there is none.
pub(crate) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Numbers with commas between.
pub(crate) fn joined<T: ToString>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// `1 partition`, `2 partitions`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
