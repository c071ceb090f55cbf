//! A record as `taffrail consume -o json` prints it, read back. What was printed must come back as the bytes it was.

use anyhow::{Context, bail};
use bytes::Bytes;
use client::producer::ProducerRecord;
use record::RecordHeader;
use serde::Deserialize;
use serde::de::IgnoredAny;
use types::Timestamp;

/// A line. A field that is not known is refused: under a misspelt name a value would silently become none.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JsonRecord {
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
    #[serde(default)]
    headers: Vec<JsonHeader>,
    timestamp: Option<i64>,
    /// Where the record was; where it goes is for the command to say.
    #[serde(rename = "topic")]
    _topic: Option<IgnoredAny>,
    #[serde(rename = "partition")]
    _partition: Option<IgnoredAny>,
    #[serde(rename = "offset")]
    _offset: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JsonHeader {
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
}

/// Puts what the line says on top of what the command says.
pub(super) fn read(line: &[u8], mut record: ProducerRecord) -> anyhow::Result<ProducerRecord> {
    let read: JsonRecord = serde_json::from_slice(line)?;
    record.key = bytes("key", read.key, read.key_base64)?;
    record.value = bytes("value", read.value, read.value_base64)?;
    record.timestamp = record.timestamp.or(read.timestamp.map(Timestamp));
    for header in read.headers {
        let key = bytes("key", header.key, header.key_base64)?.context("a header has no key")?;
        let value = bytes("value", header.value, header.value_base64)?;
        record.headers.push(RecordHeader { key, value });
    }
    Ok(record)
}

/// The bytes of one of two fields: text, or base64 for what is not text.
fn bytes(name: &str, text: Option<String>, base64: Option<String>) -> anyhow::Result<Option<Bytes>> {
    match (text, base64) {
        (Some(_), Some(_)) => bail!("it has both {name} and {name}Base64"),
        (Some(text), None) => Ok(Some(Bytes::from(text))),
        (None, Some(base64)) => {
            let decoded = crate::base64::decode(&base64);
            Ok(Some(Bytes::from(decoded.with_context(|| format!("{name}Base64 is not base64"))?)))
        }
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use client::producer::ProducerRecord;

    use super::read;

    fn refusal(line: &str) -> String {
        read(line.as_bytes(), ProducerRecord::default()).expect_err("is refused").to_string()
    }

    #[test]
    fn what_is_not_text_comes_back_as_the_bytes_it_was() {
        let line = br#"{"topic":"t","partition":1,"offset":2,"keyBase64":"/w==","valueBase64":"//4=",
            "headers":[{"key":"h","valueBase64":"gA=="},{"key":"none","value":null}]}"#;
        let record = read(line, ProducerRecord::default()).expect("is a record");
        assert_eq!(record.key.as_deref(), Some(&b"\xff"[..]));
        assert_eq!(record.value.as_deref(), Some(&b"\xff\xfe"[..]));
        assert_eq!(record.headers[0].value.as_deref(), Some(&b"\x80"[..]));
        assert_eq!((record.headers[1].value.as_deref(), record.partition), (None, None));
    }

    #[test]
    fn a_mistake_is_refused_and_not_written_as_nothing() {
        assert!(refusal(r#"{"vlaue":"x"}"#).contains("vlaue"));
        assert!(refusal(r#"{"value":"x","valueBase64":"eA=="}"#).contains("both"));
        assert!(refusal(r#"{"valueBase64":"x"}"#).contains("not base64"));
        assert!(refusal(r#"{"headers":[{"value":"x"}]}"#).contains("no key"));
        assert!(refusal(r#"{"bad"#).contains("EOF"));
    }
}
