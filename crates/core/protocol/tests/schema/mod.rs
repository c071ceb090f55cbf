//! Kafka's definitions, interpreted: for any message and version it writes random bytes that a peer could have sent.
//! It reads the committed schemas and shares no code with the generator or the codecs under test.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// Arrays are short: what matters is which shapes follow each other.
const ITEMS_MAX: u64 = 3;
const BYTES_MAX: u64 = 12;
/// A tag that no schema uses.
const UNKNOWN_TAG: u32 = 10_000;

/// Numbers from a seed (SplitMix64).
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// One message's definition.
pub(crate) struct Schema {
    json: Value,
    structs: BTreeMap<String, Vec<Value>>,
}

impl Schema {
    pub(crate) fn read(family: &str, name: &str) -> Schema {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let schemas = here.ancestors().map(|folder| folder.join("crates/core/protocol/schema"));
        let folder = schemas.into_iter().find(|folder| folder.exists()).expect("the tree").join(family);
        let file = fs::read_to_string(folder.join(format!("{name}.json")));
        // One of Kafka's files is not named after its message.
        let file =
            file.or_else(|_| fs::read_to_string(folder.join(name.replace("StateRecord", "Record.json"))));
        let text = file.expect("the message has a schema");
        let json: Value = serde_json::from_str(&text).expect("a schema is JSON");
        assert_eq!(json["name"], name);
        let mut structs = BTreeMap::new();
        for shared in json["commonStructs"].as_array().into_iter().flatten() {
            structs.insert(text_of(shared, "name").to_owned(), fields_of(shared));
        }
        Schema { json, structs }
    }

    /// Bytes of a message that is valid in `version`. `unknown_tags` adds tagged fields that the schema does not have.
    pub(crate) fn bytes(&self, version: i16, seed: &mut Seed, unknown_tags: bool) -> Vec<u8> {
        let is_flexible = contains(self.json["flexibleVersions"].as_str(), version);
        let mut writer = Writer { schema: self, version, is_flexible, unknown_tags, seed, out: Vec::new() };
        writer.structure(&fields_of(&self.json));
        writer.out
    }
}

struct Writer<'a> {
    schema: &'a Schema,
    version: i16,
    is_flexible: bool,
    unknown_tags: bool,
    seed: &'a mut Seed,
    out: Vec<u8>,
}

impl Writer<'_> {
    fn structure(&mut self, fields: &[Value]) {
        let mut tagged = BTreeMap::new();
        let version = self.version;
        for field in fields.iter().filter(|field| contains(field["versions"].as_str(), version)) {
            if contains(field["taggedVersions"].as_str(), self.version) {
                tagged.insert(field["tag"].as_u64().expect("a tagged field has a tag") as u32, field);
            } else {
                self.field(field);
            }
        }
        if self.is_flexible {
            self.tagged(&tagged);
        }
    }

    /// A tagged field is left out where it has its default, so random ones may be missing, but their bytes may not
    /// happen to be the default: such a field comes back shorter. Its value is therefore never the default.
    fn tagged(&mut self, fields: &BTreeMap<u32, &Value>) {
        let mut present = Vec::new();
        for (&tag, field) in fields {
            if self.seed.one_in(2) {
                continue;
            }
            let content = self.apart(|writer| writer.field(field));
            if !self.may_be_default(field, &content) {
                present.push((tag, content));
            }
        }
        if self.unknown_tags && self.seed.one_in(4) {
            present.push((UNKNOWN_TAG, vec![1, 2, 3]));
        }
        self.varint(present.len() as u32);
        for (tag, content) in present {
            self.varint(tag);
            self.varint(content.len() as u32);
            self.out.extend(content);
        }
    }

    /// Errs on the side of leaving a field out: short values, and structures of nothing but small values.
    fn may_be_default(&self, field: &Value, content: &[u8]) -> bool {
        let kind = text_of(field, "type");
        let is_structure = kind.starts_with(|letter: char| letter.is_uppercase());
        let default = match &field["default"] {
            Value::String(text) if text.starts_with("0x") => i64::from_str_radix(&text[2..], 16).ok(),
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_i64(),
            _ => None,
        };
        let is_default_number = default.is_some_and(|number| {
            let bytes = number.to_be_bytes();
            content.len() <= 8 && bytes[8 - content.len()..] == *content
        });
        is_structure || is_default_number || content.len() <= 1 || content.iter().all(|byte| *byte == 0)
    }

    fn apart(&mut self, write: impl FnOnce(&mut Self)) -> Vec<u8> {
        let before = std::mem::take(&mut self.out);
        write(self);
        std::mem::replace(&mut self.out, before)
    }

    fn field(&mut self, field: &Value) {
        let kind = text_of(field, "type");
        let is_nullable = contains(field["nullableVersions"].as_str(), self.version);
        let is_compact = match field["flexibleVersions"].as_str() {
            Some(range) => self.is_flexible && contains(Some(range), self.version),
            None => self.is_flexible,
        };
        let is_null = is_nullable && self.seed.one_in(4);
        match kind.strip_prefix("[]") {
            Some(_) if is_null => self.length(None, 4, is_compact),
            Some(item) => {
                let items = self.seed.below(ITEMS_MAX + 1);
                self.length(Some(items as usize), 4, is_compact);
                for _ in 0..items {
                    self.value(item, field, is_compact, false);
                }
            }
            None => self.value(kind, field, is_compact, is_null),
        }
    }

    fn value(&mut self, kind: &str, field: &Value, is_compact: bool, is_null: bool) {
        match kind {
            "bool" => self.out.push((self.seed.below(2)) as u8),
            "int8" => self.random(1),
            "int16" | "uint16" => self.random(2),
            "int32" | "uint32" => self.random(4),
            "int64" => self.random(8),
            "float64" => self.out.extend((self.seed.next() as i32 as f64).to_be_bytes()),
            "uuid" => self.random(16),
            "string" => self.sized(2, is_compact, is_null, true),
            "bytes" | "records" => self.sized(4, is_compact, is_null, false),
            name => self.named(name, field, is_null),
        }
    }

    fn named(&mut self, name: &str, field: &Value, is_null: bool) {
        let is_nullable = contains(field["nullableVersions"].as_str(), self.version);
        // A structure that may be null has a byte before it, unless it is an array that may be.
        if is_nullable && !text_of(field, "type").starts_with("[]") {
            self.out.push(if is_null { 0xff } else { 1 });
            if is_null {
                return;
            }
        }
        let own = fields_of(field);
        let shared = || self.schema.structs.get(name).cloned().expect("a structure is here or shared");
        let fields = if own.is_empty() { shared() } else { own };
        self.structure(&fields);
    }

    fn sized(&mut self, width: usize, is_compact: bool, is_null: bool, is_text: bool) {
        if is_null {
            return self.length(None, width, is_compact);
        }
        let length = self.seed.below(BYTES_MAX) as usize;
        self.length(Some(length), width, is_compact);
        for _ in 0..length {
            let byte = self.seed.next() as u8;
            self.out.push(if is_text { b'a' + byte % 26 } else { byte });
        }
    }

    fn length(&mut self, length: Option<usize>, width: usize, is_compact: bool) {
        match (length, is_compact, width) {
            (length, true, _) => self.varint(length.map_or(0, |length| length as u32 + 1)),
            (length, false, 2) => self.out.extend(length.map_or(-1, |length| length as i16).to_be_bytes()),
            (length, false, _) => self.out.extend(length.map_or(-1, |length| length as i32).to_be_bytes()),
        }
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    fn random(&mut self, bytes: usize) {
        let low_and_high = [self.seed.next().to_be_bytes(), self.seed.next().to_be_bytes()].concat();
        self.out.extend(&low_and_high[..bytes]);
    }
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect("the schema has this text")
}

fn fields_of(value: &Value) -> Vec<Value> {
    value["fields"].as_array().cloned().unwrap_or_default()
}

/// Whether `3`, `3-5`, `3+` or `none` holds the version; nothing holds none.
fn contains(range: Option<&str>, version: i16) -> bool {
    let Some(range) = range.filter(|range| *range != "none") else { return false };
    let number = |text: &str| text.trim().parse::<i16>().expect("a version is a number");
    match range.strip_suffix('+') {
        Some(first) => number(first) <= version,
        None => {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            (number(first)..=number(last)).contains(&version)
        }
    }
}
