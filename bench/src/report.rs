//! The results: one measurement each line, as a table for people and JSON for scripts.

use std::path::Path;

use anyhow::Result;
use comfy_table::{Table, presets};
use serde::Serialize;

/// One measure of one row, for both brokers.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) row: &'static str,
    pub(crate) measure: String,
    pub(crate) unit: &'static str,
    pub(crate) kafka: f64,
    pub(crate) taffrail: f64,
    /// Taffrail over Kafka for rates, where more is better; the same for times and sizes, where less is better.
    pub(crate) ratio: f64,
    pub(crate) target: Option<Target>,
    /// What the same client reaches against a sink that only acknowledges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_limit: Option<f64>,
    pub(crate) is_met: Option<bool>,
}

/// A row whose client is the limit is met at this part of what the client can do.
const PART_OF_CLIENT_LIMIT: f64 = 0.9;

/// What the ratio should be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// The ratio must not be smaller.
    RatioMin(f64),
    /// The ratio must not be larger.
    RatioMax(f64),
    /// Taffrail's own figure must not be larger, whatever Kafka's is.
    ValueMax(f64),
    /// Taffrail's own figure must not be smaller.
    ValueMin(f64),
}

impl Figure {
    pub(crate) fn new(
        row: &'static str,
        measure: impl Into<String>,
        unit: &'static str,
        (kafka, taffrail): (f64, f64),
        target: Option<Target>,
    ) -> Figure {
        let ratio = taffrail / kafka;
        let is_met = target.map(|target| match target {
            Target::RatioMin(least) => ratio >= least,
            Target::RatioMax(most) => ratio <= most,
            Target::ValueMax(most) => taffrail <= most,
            Target::ValueMin(least) => taffrail >= least,
        });
        Figure {
            row,
            measure: measure.into(),
            unit,
            kafka,
            taffrail,
            ratio,
            target,
            client_limit: None,
            is_met,
        }
    }

    /// Beside what the client can do at all.
    pub(crate) fn with_client_limit(mut self, limit: f64) -> Figure {
        self.client_limit = Some(limit);
        self.is_met = self.is_met.map(|is_met| is_met || self.taffrail >= PART_OF_CLIENT_LIMIT * limit);
        self
    }
}

/// All figures of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new() -> Report {
        Report::default()
    }

    pub(crate) fn add(&mut self, figures: Vec<Figure>) {
        for figure in &figures {
            eprintln!(
                "  {}: Kafka {:.2}, Taffrail {:.2} {}, ratio {:.2}",
                figure.measure, figure.kafka, figure.taffrail, figure.unit, figure.ratio
            );
        }
        self.figures.extend(figures);
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header([
            "row",
            "measure",
            "unit",
            "Kafka",
            "Taffrail",
            "ratio",
            "target",
            "client limit",
            "met",
        ]);
        for figure in &self.figures {
            table.add_row([
                figure.row.to_owned(),
                figure.measure.clone(),
                figure.unit.to_owned(),
                format!("{:.2}", figure.kafka),
                format!("{:.2}", figure.taffrail),
                // Of two zeros there is none.
                if figure.ratio.is_finite() { format!("{:.3}", figure.ratio) } else { "-".to_owned() },
                figure.target.map_or("-".to_owned(), describe),
                figure.client_limit.map_or("-".to_owned(), |limit| format!("{limit:.2}")),
                figure.is_met.map_or("-", |met| if met { "yes" } else { "no" }).to_owned(),
            ]);
        }
        table
    }

    pub(crate) fn write_json(&self, path: &Path) -> Result<()> {
        std::fs::write(path, serde_json::to_vec_pretty(&self.figures)?)?;
        Ok(())
    }
}

fn describe(target: Target) -> String {
    match target {
        Target::RatioMin(least) => format!("at least {least:.2}x"),
        Target::RatioMax(most) => format!("at most {most:.2}x"),
        Target::ValueMax(most) => format!("at most {most}"),
        Target::ValueMin(least) => format!("at least {least}"),
    }
}
