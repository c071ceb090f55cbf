//! How `taffrail consume` prints a record: fields between tabs for people, an object a line for scripts.

use std::io::{self, Write};

use bytes::Bytes;
use client::consumer::ConsumedRecord;
use serde_json::{Map, Value, json};

use crate::output::Format;

/// What is printed beside the value.
#[derive(Debug, clap::Args)]
pub(super) struct PrintArgs {
    /// Print the keys too
    #[arg(short, long)]
    keys: bool,
    /// Print the headers too
    #[arg(short = 'H', long)]
    headers: bool,
    /// Print partition and offset too
    #[arg(long)]
    offsets: bool,
    /// Print the times too
    #[arg(short, long)]
    timestamps: bool,
    /// What stands between two fields [default: a tab]
    #[arg(long, value_name = "TEXT", default_value = "\t", hide_default_value = true)]
    separator: String,
}

pub(super) fn write(
    out: &mut impl Write,
    format: Format,
    print: &PrintArgs,
    record: &ConsumedRecord,
) -> io::Result<()> {
    match format {
        Format::Table => write_fields(out, print, record),
        Format::Json => writeln!(out, "{}", object(record)),
    }
}

fn write_fields(out: &mut impl Write, print: &PrintArgs, record: &ConsumedRecord) -> io::Result<()> {
    let separator = &print.separator;
    if print.timestamps {
        write!(out, "{}{separator}", crate::time::format(record.timestamp.0))?;
    }
    if print.offsets {
        write!(out, "{}-{}@{}{separator}", record.topic, record.partition, record.offset)?;
    }
    if print.headers {
        for (i, header) in record.headers.iter().enumerate() {
            out.write_all(if i == 0 { b"" } else { b"," })?;
            out.write_all(&header.key)?;
            out.write_all(b"=")?;
            out.write_all(header.value.as_deref().unwrap_or(b"null"))?;
        }
        write!(out, "{separator}")?;
    }
    if print.keys {
        out.write_all(record.key.as_deref().unwrap_or(b"null"))?;
        write!(out, "{separator}")?;
    }
    out.write_all(record.value.as_deref().unwrap_or(b"null"))?;
    out.write_all(b"\n")
}

fn object(record: &ConsumedRecord) -> Value {
    let mut object = Map::new();
    object.insert("topic".to_owned(), json!(&*record.topic));
    object.insert("partition".to_owned(), json!(record.partition));
    object.insert("offset".to_owned(), json!(record.offset));
    object.insert("timestamp".to_owned(), json!(record.timestamp.0));
    put(&mut object, "key", record.key.as_ref());
    put(&mut object, "value", record.value.as_ref());
    let headers = record.headers.iter().map(|header| {
        let mut entry = Map::new();
        put(&mut entry, "key", Some(&header.key));
        put(&mut entry, "value", header.value.as_ref());
        Value::Object(entry)
    });
    object.insert("headers".to_owned(), headers.collect());
    Value::Object(object)
}

/// Text as text. What is not text would lose bytes on its way through JSON: it goes as base64, under a name that says so.
fn put(object: &mut Map<String, Value>, name: &str, bytes: Option<&Bytes>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes)) {
        None => object.insert(name.to_owned(), Value::Null),
        Some(Ok(text)) => object.insert(name.to_owned(), json!(text)),
        Some(Err(_)) => {
            let encoded = crate::base64::encode(bytes.map(|bytes| &bytes[..]).unwrap_or_default());
            object.insert(format!("{name}Base64"), json!(encoded))
        }
    };
}
