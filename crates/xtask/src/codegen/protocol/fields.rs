//! One field: its Rust type and default, and the expressions that read and write it.

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::schema::{Condition, Field, Range};

/// A field as the generated structure has it.
#[derive(Debug)]
pub(super) struct RustField {
    /// Kafka's name.
    pub(super) name: String,
    /// Ours.
    pub(super) ident: String,
    kind: Kind,
    default: Default,
    pub(super) doc: String,
    pub(super) present: Condition,
    nullable: Condition,
    pub(super) tag: Option<u32>,
    pub(super) ignorable: bool,
    inflexible: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Primitive(Primitive),
    String,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Kind>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Primitive {
    rust: &'static str,
    function: &'static str,
    size: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Default {
    Null,
    /// What `Default` gives.
    Zero,
    Literal(String),
}

impl RustField {
    /// The field, or `None` if no version in `all` has it.
    pub(super) fn new(field: &Field, all: Range) -> anyhow::Result<Option<RustField>> {
        let tagged = Range::optional(field.tagged_versions.as_deref())?;
        let versions = field.versions.as_deref().or(field.tagged_versions.as_deref());
        let versions = Range::parse(versions.context("neither versions nor taggedVersions")?)?;
        ensure!(
            tagged.is_empty() || tagged == versions,
            "{} is tagged in some of its versions only",
            field.name
        );
        let present = versions.condition(all);
        if present == Condition::Never {
            return Ok(None);
        }
        let nullable_versions = Range::optional(field.nullable_versions.as_deref())?;
        let nullable = nullable_versions.condition(all.intersection(versions));
        let kind = Kind::parse(&field.kind)?;
        Ok(Some(RustField {
            name: field.name.clone(),
            ident: identifier(&field.name),
            default: default(field, &kind)?,
            doc: doc(field, versions, nullable_versions),
            kind,
            present,
            nullable,
            tag: field.tag,
            ignorable: field.ignorable,
            inflexible: field.flexible_versions.as_deref() == Some("none"),
        }))
    }

    fn is_option(&self) -> bool {
        self.nullable != Condition::Never
    }

    pub(super) fn rust_type(&self) -> String {
        let plain = self.kind.rust_type();
        if self.is_option() { format!("Option<{plain}>") } else { plain }
    }

    /// Whether `Default` of the type is the schema's default.
    pub(super) fn has_plain_default(&self) -> bool {
        match &self.default {
            Default::Null => true,
            Default::Zero => !self.is_option(),
            Default::Literal(_) => false,
        }
    }

    pub(super) fn default_value(&self) -> String {
        match &self.default {
            Default::Null => "None".to_owned(),
            Default::Literal(text) => text.clone(),
            Default::Zero if self.is_option() => format!("Some({})", self.kind.zero()),
            Default::Zero => self.kind.zero(),
        }
    }

    /// A test that the value is the schema's default.
    pub(super) fn is_default(&self) -> String {
        let value = format!("self.{}", self.ident);
        match (&self.default, &self.kind) {
            (Default::Null, _) => format!("{value}.is_none()"),
            (Default::Literal(text), _) if text == "true" => value,
            (Default::Literal(text), _) => format!("{value} == {text}"),
            (Default::Zero, Kind::Struct(_)) => format!("{value} == {}", self.default_value()),
            (Default::Zero, Kind::Primitive(Primitive { rust: "bool", .. })) => format!("!{value}"),
            (Default::Zero, Kind::Primitive(Primitive { rust: "Uuid", .. })) => format!("{value}.is_zero()"),
            (Default::Zero, Kind::Primitive(_)) => format!("{value} == {}", self.kind.zero()),
            (Default::Zero, _) if self.is_option() => {
                format!("{value}.as_ref().is_some_and(|value| value.is_empty())")
            }
            (Default::Zero, _) => format!("{value}.is_empty()"),
        }
    }

    /// An expression that reads the value in a version that has it.
    pub(super) fn read(&self) -> String {
        let tagged = self.tag.is_some();
        match &self.nullable {
            _ if self.inflexible => "d.inflexible_nullable_string()?".to_owned(),
            Condition::Always => self.kind.read_nullable(tagged),
            Condition::Never => self.kind.read(),
            Condition::If(test) => {
                format!(
                    "if {test} {{ {} }} else {{ Some({}) }}",
                    self.kind.read_nullable(tagged),
                    self.kind.read()
                )
            }
        }
    }

    /// A statement that writes the value in a version that has it.
    pub(super) fn write(&self) -> String {
        let value = format!("self.{}", self.ident);
        let tagged = self.tag.is_some();
        match &self.nullable {
            _ if self.inflexible => format!("e.inflexible_nullable_string(&{value});"),
            Condition::Always => self.kind.write_nullable(&value, tagged),
            Condition::Never => self.kind.write(&value, false),
            Condition::If(test) => format!(
                "if {test} {{ {} }} else if let Some(value) = e.required(&{value}, {:?}) {{ {} }}",
                self.kind.write_nullable(&value, tagged),
                self.name,
                self.kind.write("value", true),
            ),
        }
    }
}

impl Kind {
    fn parse(text: &str) -> anyhow::Result<Kind> {
        if let Some(element) = text.strip_prefix("[]") {
            return Ok(Kind::Array(Box::new(Kind::parse(element)?)));
        }
        let primitive = |rust, function, size| Ok(Kind::Primitive(Primitive { rust, function, size }));
        match text {
            "bool" => primitive("bool", "boolean", 1),
            "int8" => primitive("i8", "int8", 1),
            "int16" => primitive("i16", "int16", 2),
            "uint16" => primitive("u16", "uint16", 2),
            "int32" => primitive("i32", "int32", 4),
            "uint32" => primitive("u32", "uint32", 4),
            "int64" => primitive("i64", "int64", 8),
            "float64" => primitive("f64", "float64", 8),
            "uuid" => primitive("Uuid", "uuid", 16),
            "string" => Ok(Kind::String),
            "bytes" => Ok(Kind::Bytes),
            "records" => Ok(Kind::Records),
            name if name.starts_with(|first: char| first.is_ascii_uppercase()) => {
                Ok(Kind::Struct(name.to_owned()))
            }
            other => bail!("unknown type {other}"),
        }
    }

    fn rust_type(&self) -> String {
        match self {
            Kind::Primitive(primitive) => primitive.rust.to_owned(),
            Kind::String => "Utf8Bytes".to_owned(),
            Kind::Bytes => "Bytes".to_owned(),
            Kind::Records => "Records".to_owned(),
            Kind::Struct(name) => name.clone(),
            Kind::Array(element) => format!("Vec<{}>", element.rust_type()),
        }
    }

    fn zero(&self) -> String {
        match self {
            Kind::Primitive(Primitive { rust: "bool", .. }) => "false".to_owned(),
            Kind::Primitive(Primitive { rust: "f64", .. }) => "0.0".to_owned(),
            Kind::Primitive(Primitive { rust: "Uuid", .. }) => "Uuid::ZERO".to_owned(),
            Kind::Primitive(_) => "0".to_owned(),
            Kind::Array(_) => "Vec::new()".to_owned(),
            Kind::String | Kind::Bytes => format!("{}::new()", self.rust_type()),
            Kind::Records | Kind::Struct(_) => format!("{}::default()", self.rust_type()),
        }
    }

    /// The function of `Decoder` that reads one value, and the fewest bytes that the value takes.
    fn element(&self) -> (&'static str, usize) {
        match self {
            Kind::Primitive(primitive) => (primitive.function, primitive.size),
            Kind::String => ("string", 1),
            Kind::Bytes => ("byte_string", 1),
            Kind::Records => ("records", 1),
            Kind::Struct(_) | Kind::Array(_) => unreachable!("structures have their own functions"),
        }
    }

    fn read(&self) -> String {
        match self {
            Kind::Struct(name) => format!("{name}::read(d, version)?"),
            Kind::Array(element) => element.read_array("structs", "array"),
            _ => format!("d.{}()?", self.element().0),
        }
    }

    fn read_nullable(&self, tagged: bool) -> String {
        match self {
            Kind::Struct(name) if tagged => format!("d.nullable_tagged_struct(version, {name}::read)?"),
            Kind::Struct(name) => format!("d.nullable_struct(version, {name}::read)?"),
            Kind::Array(element) => element.read_array("nullable_structs", "nullable_array"),
            _ => format!("d.nullable_{}()?", self.element().0),
        }
    }

    fn read_array(&self, structs: &str, array: &str) -> String {
        match self {
            Kind::Struct(name) => format!("d.{structs}(version, {name}::read)?"),
            _ => {
                let (function, size) = self.element();
                format!("d.{array}({size}, Decoder::{function})?")
            }
        }
    }

    fn write(&self, value: &str, is_reference: bool) -> String {
        let reference = if is_reference { value.to_owned() } else { format!("&{value}") };
        match self {
            Kind::Primitive(primitive) => format!("e.{}({value});", primitive.function),
            Kind::Struct(_) => format!("{value}.write(e, version);"),
            Kind::Array(element) => element.write_array("structs", "array", &reference),
            _ => format!("e.{}({reference});", self.element().0),
        }
    }

    fn write_nullable(&self, value: &str, tagged: bool) -> String {
        match self {
            Kind::Struct(name) if tagged => {
                format!("e.nullable_tagged_struct(&{value}, version, {name}::write);")
            }
            Kind::Struct(name) => format!("e.nullable_struct(&{value}, version, {name}::write);"),
            Kind::Array(element) => {
                element.write_array("nullable_structs", "nullable_array", &format!("&{value}"))
            }
            _ => format!("e.nullable_{}(&{value});", self.element().0),
        }
    }

    fn write_array(&self, structs: &str, array: &str, reference: &str) -> String {
        match self {
            Kind::Struct(name) => format!("e.{structs}({reference}, version, {name}::write);"),
            Kind::Primitive(primitive) => {
                format!("e.{array}({reference}, |e, &item| e.{}(item));", primitive.function)
            }
            _ => format!("e.{array}({reference}, Encoder::{});", self.element().0),
        }
    }
}

fn default(field: &Field, kind: &Kind) -> anyhow::Result<Default> {
    let text = match &field.default {
        None if *kind == Kind::Records && field.nullable_versions.is_some() => return Ok(Default::Null),
        None | Some(Value::Null) => return Ok(Default::Zero),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    Ok(match (text.as_str(), kind) {
        ("null", _) => Default::Null,
        ("" | "false" | "0", _) => Default::Zero,
        ("true", _) => Default::Literal(text),
        ("0x7fffffff", _) => Default::Literal("i32::MAX".to_owned()),
        ("-2147483648", _) => Default::Literal("i32::MIN".to_owned()),
        ("9223372036854775807", _) => Default::Literal("i64::MAX".to_owned()),
        (number, Kind::Primitive(_)) if number.parse::<i64>().is_ok() => Default::Literal(text),
        _ => bail!("{}: default {text:?} is not understood", field.name),
    })
}

fn doc(field: &Field, versions: Range, nullable: Range) -> String {
    let mut doc = format!("`{}`, versions {versions}", field.name);
    if let Some(tag) = field.tag {
        doc += &format!(", tag {tag}");
    }
    if !nullable.is_empty() && nullable != versions {
        doc += &format!(", nullable {nullable}");
    }
    if let Some(Value::String(default)) = &field.default
        && !default.is_empty()
    {
        doc += &format!(", default {default}");
    }
    doc
}

fn identifier(name: &str) -> String {
    let ident = snake_case(name);
    match ident.as_str() {
        "match" | "type" => format!("r#{ident}"),
        _ => ident,
    }
}

/// `V3AndBelowTopics` becomes `v3_and_below_topics`.
pub(super) fn snake_case(name: &str) -> String {
    let name = name.replace("KRaft", "Kraft");
    let mut snake = String::new();
    for (i, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && i > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
