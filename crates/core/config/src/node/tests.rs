//! Good files are read, bad ones are refused with a sentence that names the field.

use super::{LogFormat, NodeConfig, Role};

const FULL: &str = r"
nodeId: 0
roles: [broker, controller]
clusterId: orders
dataDirs: [/data/0]
listeners:
  - name: PLAINTEXT
    bind: 0.0.0.0:9092
    advertised: {host: localhost, port: 9092}
controller: {bind: '127.0.0.1:19090'}
admin: {bind: '127.0.0.1:9600', tokenFile: /run/token}
peers:
  - {id: 1, host: other, controllerPort: 19090, adminPort: 9600}
rack: a
config:
  num.partitions: 3
  auto.create.topics.enable: false
  log.retention.ms: '1000'
log: {level: debug, format: json}
";

fn parse(text: &str) -> Result<NodeConfig, String> {
    let config: NodeConfig = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    config.validate().map_err(|error| error.to_string())?;
    Ok(config)
}

#[test]
fn a_full_file_is_read_and_written_back() {
    let config = parse(FULL).unwrap();
    assert_eq!((config.node_id, config.has_role(Role::Controller)), (0, true));
    assert_eq!(config.config["num.partitions"], "3");
    assert_eq!(config.config["auto.create.topics.enable"], "false");
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.broker_config().num_partitions, 3);
    let fixed = config.static_config();
    assert_eq!(fixed["advertised.listeners"], "PLAINTEXT://localhost:9092");
    assert_eq!(fixed["process.roles"], "broker,controller");
    assert_eq!(parse(&serde_yaml::to_string(&config).unwrap()).unwrap(), config);
}

#[test]
fn the_shortest_file_is_enough() {
    let config = parse(
        "{nodeId: 0, roles: [broker, controller], dataDirs: [d], admin: {bind: 'localhost:0'},
          listeners: [{name: P, bind: '[::]:0', advertised: {host: h, port: 0}}]}",
    )
    .unwrap();
    assert_eq!((config.log.level.as_str(), config.config.len()), ("info", 0));
}

#[test]
fn a_mistake_is_named() {
    for (from, to, message) in [
        ("nodeId: 0", "nodeId: -1", "nodeId: -1 is negative"),
        ("nodeId: 0", "nodeid: 0", "unknown field `nodeid`"),
        ("roles: [broker, controller]", "roles: []", "roles: is empty"),
        ("roles: [broker, controller]", "roles: [broker, broker]", "roles: names one role twice"),
        ("roles: [broker, controller]", "roles: [leader]", "unknown variant `leader`"),
        ("dataDirs: [/data/0]", "dataDirs: []", "dataDirs: is empty"),
        ("bind: 0.0.0.0:9092", "bind: '9092'", "listeners[0].bind: \"9092\" is not host:port"),
        ("bind: 0.0.0.0:9092", "bind: 'a:99999'", "is not host:port"),
        ("host: localhost", "host: 0.0.0.0", "listeners[0].advertised.host: 0.0.0.0 is not an address"),
        ("port: 9092}", "port: 0}", "listeners[0].advertised.port: is 0"),
        ("clusterId: orders", "clusterId: 'a b'", "clusterId: \"a b\" is not"),
        (
            "num.partitions: 3",
            "num.partitions: 0",
            "config: Invalid value 0 for configuration num.partitions",
        ),
        ("num.partitions: 3", "num.partition: 3", "did you mean num.partitions?"),
        ("num.partitions: 3", "log.dirs: /x", "set `dataDirs` instead"),
        ("num.partitions: 3", "num.io.threads: 3", "not supported yet"),
        ("rack: a", "rack: ''", "rack: is empty"),
        ("format: json", "format: xml", "unknown variant `xml`"),
    ] {
        let text = FULL.replacen(from, to, 1);
        assert_ne!(text, FULL, "{from}");
        let error = parse(&text).unwrap_err();
        assert!(error.contains(message), "{error:?} lacks {message:?}");
    }
}
