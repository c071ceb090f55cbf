//! One structure: its definition, its default, and its two functions.

use std::fmt::Write;

use super::fields::RustField;
use super::schema::{Condition, Field, Range};

/// What the structures of one message have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    /// The versions of the message.
    pub(super) all: Range,
    /// Whether any of them is flexible.
    pub(super) has_flexible: bool,
}

/// Appends a structure and those that its fields define, depth first.
pub(super) fn emit(
    out: &mut String,
    name: &str,
    doc: &str,
    fields: &[Field],
    context: Context,
) -> anyhow::Result<()> {
    let mut rust_fields = Vec::new();
    for field in fields {
        rust_fields.extend(RustField::new(field, context.all)?);
    }
    definition(out, name, doc, &rust_fields, context);
    default(out, name, &rust_fields, context);
    let _ = writeln!(out, "impl {name} {{");
    read(out, &rust_fields, context);
    write(out, &rust_fields, context);
    let _ = writeln!(out, "}}\n");
    for field in fields.iter().filter(|field| !field.fields.is_empty()) {
        let struct_name = field.kind.trim_start_matches("[]");
        let doc = format!("`{}` of [`{name}`].", field.name);
        emit(out, struct_name, &doc, &field.fields, context)?;
    }
    Ok(())
}

fn definition(out: &mut String, name: &str, doc: &str, fields: &[RustField], context: Context) {
    let derives =
        if plain_default(fields) { "Clone, Debug, Default, PartialEq" } else { "Clone, Debug, PartialEq" };
    let _ = writeln!(out, "/// {doc}\n#[derive({derives})]\npub struct {name} {{");
    for field in fields {
        let _ = writeln!(out, "/// {}.\npub {}: {},", field.doc, field.ident, field.rust_type());
    }
    if context.has_flexible {
        let _ = writeln!(out, "/// Tagged fields that this code does not know.");
        let _ = writeln!(out, "pub unknown_tagged_fields: Vec<TaggedField>,");
    }
    let _ = writeln!(out, "}}\n");
}

fn plain_default(fields: &[RustField]) -> bool {
    fields.iter().all(RustField::has_plain_default)
}

fn default(out: &mut String, name: &str, fields: &[RustField], context: Context) {
    if plain_default(fields) {
        return;
    }
    let _ = writeln!(out, "impl Default for {name} {{\nfn default() -> Self {{\nSelf {{");
    for field in fields {
        let _ = writeln!(out, "{}: {},", field.ident, field.default_value());
    }
    if context.has_flexible {
        let _ = writeln!(out, "unknown_tagged_fields: Vec::new(),");
    }
    let _ = writeln!(out, "}}\n}}\n}}\n");
}

fn read(out: &mut String, fields: &[RustField], context: Context) {
    let has_tags = fields.iter().any(|field| field.tag.is_some());
    let _ = writeln!(out, "fn read(d: &mut Decoder, version: i16) -> Result<Self, DecodeError> {{");
    let _ = writeln!(out, "{}Self {{", if has_tags { "let mut message = " } else { "Ok(" });
    for field in fields {
        let value = match (&field.present, field.tag) {
            (_, Some(_)) => field.default_value(),
            (Condition::If(test), None) => {
                format!("if {test} {{ {} }} else {{ {} }}", field.read(), field.default_value())
            }
            _ => field.read(),
        };
        let _ = writeln!(out, "{}: {value},", field.ident);
    }
    match (has_tags, context.has_flexible) {
        (true, _) => {
            let _ = writeln!(out, "unknown_tagged_fields: Vec::new(),\n}};");
            read_tags(out, fields);
        }
        (false, true) => {
            let _ = writeln!(out, "unknown_tagged_fields: d.unknown_tagged_fields()?,\n}})\n}}\n");
        }
        (false, false) => {
            let _ = writeln!(out, "}})\n}}\n");
        }
    }
}

fn read_tags(out: &mut String, fields: &[RustField]) {
    let _ = writeln!(out, "for _ in 0..d.tag_count()? {{");
    let _ = writeln!(out, "let (tag, outer_end) = d.begin_tag()?;\nmatch tag {{");
    for field in fields {
        let Some(tag) = field.tag else { continue };
        let guard = match &field.present {
            Condition::If(test) => format!(" if {test}"),
            _ => String::new(),
        };
        let _ = writeln!(out, "{tag}{guard} => message.{} = {},", field.ident, field.read());
    }
    let _ = writeln!(out, "_ => message.unknown_tagged_fields.push(d.unknown_tag(tag)?),");
    let _ = writeln!(out, "}}\nd.end_tag(outer_end)?;\n}}\nOk(message)\n}}\n");
}

fn write(out: &mut String, fields: &[RustField], context: Context) {
    let _ = writeln!(out, "fn write(&self, e: &mut Encoder, version: i16) {{");
    for field in fields.iter().filter(|field| field.tag.is_none()) {
        match &field.present {
            Condition::If(test) => {
                let _ = writeln!(out, "if {test} {{ {} }}{}", field.write(), absent(field));
            }
            _ => {
                let _ = writeln!(out, "{}", field.write());
            }
        }
    }
    let mut tagged: Vec<_> = fields.iter().filter(|field| field.tag.is_some()).collect();
    tagged.sort_by_key(|field| field.tag);
    if !tagged.is_empty() {
        write_tags(out, &tagged);
    } else if context.has_flexible {
        let _ = writeln!(out, "e.unknown_tagged_fields(&self.unknown_tagged_fields);");
    }
    let _ = writeln!(out, "}}");
}

fn absent(field: &RustField) -> String {
    if field.ignorable {
        return String::new();
    }
    format!(" else {{ e.absent({}, {:?}); }}", field.is_default(), field.name)
}

fn write_tags(out: &mut String, fields: &[&RustField]) {
    for field in fields {
        let differs = format!("!({})", field.is_default());
        let set = match &field.present {
            Condition::If(test) => {
                if !field.ignorable {
                    let _ = writeln!(
                        out,
                        "if !({test}) {{ e.absent({}, {:?}); }}",
                        field.is_default(),
                        field.name
                    );
                }
                format!("{test} && {differs}")
            }
            _ => differs,
        };
        let _ = writeln!(out, "let has_{} = {set};", field.ident);
    }
    let count: Vec<_> = fields.iter().map(|field| format!("usize::from(has_{})", field.ident)).collect();
    let _ =
        writeln!(out, "let mut unknown = e.tag_count({}, &self.unknown_tagged_fields);", count.join(" + "));
    for field in fields {
        let _ = writeln!(
            out,
            "if has_{} {{ let start = e.begin_tag({}, &mut unknown); {} e.end_tag(start); }}",
            field.ident,
            field.tag.expect("only tagged fields come here"),
            field.write()
        );
    }
    let _ = writeln!(out, "e.rest_of_tags(unknown);");
}
