//! The book's page of configurations says what the catalogue says. With `UPDATE_BOOK=1` the test writes the page.

use std::path::Path;

use config::{ConfigDef, Support, Update, broker_definitions, topic_definitions};

const HEAD: &str = "# Configuration

Kafka's own keys, types, units and defaults (Kafka 4.4). A topic's keys are set when it is created or by
`kafka-configs`, `taffrail configs` or a KafkaTopic; a broker's keys stand under `config` of `broker.yaml`, which the
operator and `taffrail dev` write from the KafkaCluster.

*default only*: the behaviour behind the key is not there yet. The key is described with its default, and any other
value is refused with INVALID_CONFIG, because a value that does nothing is worse than an error. *set by …*: another
field of `broker.yaml` sets it.
";

#[test]
fn the_book_lists_what_the_catalogue_holds() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/book/src/reference/configs.md");
    let page = render();
    if std::env::var_os("UPDATE_BOOK").is_some() {
        std::fs::write(&path, page).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(
        committed == page,
        "{} is not current; UPDATE_BOOK=1 cargo test -p config writes it",
        path.display()
    );
}

fn render() -> String {
    let mut page = HEAD.to_owned();
    section(&mut page, "Topics", topic_definitions().iter());
    let mut broker: Vec<_> = broker_definitions().collect();
    broker.sort_by_key(|definition| definition.name);
    section(&mut page, "Brokers", broker.into_iter());
    page
}

fn section<'a>(page: &mut String, title: &str, definitions: impl Iterator<Item = &'a ConfigDef>) {
    page.push_str(&format!(
        "\n## {title}\n\n| key | type | default | | what it does |\n|---|---|---|---|---|\n"
    ));
    for definition in definitions {
        let default = match definition.default {
            Some("") => "empty".to_owned(),
            Some(default) => format!("`{default}`"),
            None => "none".to_owned(),
        };
        let note = match (definition.support, definition.update) {
            (Support::DefaultOnly, _) => "default only".to_owned(),
            (Support::OwnField(field), _) => format!("set by `{field}`"),
            (Support::Full, Update::Dynamic) => "dynamic".to_owned(),
            (Support::Full, Update::ReadOnly) => "static".to_owned(),
        };
        let kind = definition.kind.name().to_lowercase();
        page.push_str(&format!(
            "| `{}` | {kind} | {default} | {note} | {} |\n",
            definition.name, definition.doc
        ));
    }
}
