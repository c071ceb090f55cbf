//! Kafka's message definitions as data, and the arithmetic of their version ranges.

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

/// The highest version that a range without an end has.
const LATEST: i16 = i16::MAX;

/// One message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Schema {
    pub(super) api_key: Option<i16>,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) listeners: Vec<String>,
    pub(super) name: String,
    #[serde(default)]
    pub(super) latest_version_unstable: bool,
    pub(super) valid_versions: String,
    pub(super) flexible_versions: Option<String>,
    #[serde(default)]
    pub(super) fields: Vec<Field>,
    #[serde(default)]
    pub(super) common_structs: Vec<CommonStruct>,
}

/// A structure that several fields of a message share.
#[derive(Debug, Deserialize)]
pub(super) struct CommonStruct {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
}

/// One field.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Field {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) versions: Option<String>,
    pub(super) nullable_versions: Option<String>,
    pub(super) tagged_versions: Option<String>,
    pub(super) flexible_versions: Option<String>,
    pub(super) tag: Option<u32>,
    /// Kafka takes a JSON `null` for "no default"; the string `"null"` is the default null.
    pub(super) default: Option<Value>,
    #[serde(default)]
    pub(super) ignorable: bool,
    #[serde(default)]
    pub(super) fields: Vec<Field>,
}

/// A range of versions; empty if `first > last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: i16,
    pub(super) last: i16,
}

impl Range {
    const NONE: Range = Range { first: 0, last: -1 };

    /// `3`, `3-5`, `3+` or `none`.
    pub(super) fn parse(text: &str) -> anyhow::Result<Range> {
        let number = |text: &str| text.trim().parse::<i16>().with_context(|| format!("bad version {text:?}"));
        if text == "none" {
            return Ok(Range::NONE);
        }
        if let Some(first) = text.strip_suffix('+') {
            return Ok(Range { first: number(first)?, last: LATEST });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Ok(Range { first: number(first)?, last: number(last)? })
    }

    pub(super) fn optional(text: Option<&str>) -> anyhow::Result<Range> {
        text.map_or(Ok(Range::NONE), Range::parse)
    }

    pub(super) fn is_empty(self) -> bool {
        self.first > self.last
    }

    pub(super) fn intersection(self, other: Range) -> Range {
        Range { first: self.first.max(other.first), last: self.last.min(other.last) }
    }

    /// The test that a version within `all` lies in this range.
    pub(super) fn condition(self, all: Range) -> Condition {
        let here = self.intersection(all);
        if here.is_empty() {
            return Condition::Never;
        }
        match (here.first > all.first, here.last < all.last) {
            (false, false) => Condition::Always,
            (true, false) => Condition::If(format!("version >= {}", here.first)),
            (false, true) => Condition::If(format!("version <= {}", here.last)),
            (true, true) => Condition::If(format!("({}..={}).contains(&version)", here.first, here.last)),
        }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.first, self.last) {
            (first, LATEST) => write!(f, "{first}+"),
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

/// Whether something holds in the version at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Always,
    Never,
    If(String),
}
