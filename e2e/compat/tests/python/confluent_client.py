"""confluent-kafka against one broker: what an application does, and what it sees when it is wrong."""

import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

BROKER = sys.argv[1]
REPLICAS = int(sys.argv[2])
RECORDS = 1000


def step(name):
    print(name, flush=True)


def results(futures):
    return {key: future.result(30) for key, future in futures.items()}


def expect_error(code, work):
    try:
        work()
    except KafkaException as error:
        assert error.args[0].name() == code, f"{error.args[0].name()} instead of {code}"
        return
    raise AssertionError(f"no {code}")


def consumer(group, **more):
    config = {
        "bootstrap.servers": BROKER,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 6000,
    }
    return Consumer({**config, **{key.replace("_", "."): value for key, value in more.items()}})


def poll_all(client, count, seconds=30):
    records, end = [], time.time() + seconds
    while len(records) < count and time.time() < end:
        message = client.poll(0.5)
        if message is not None:
            assert message.error() is None, message.error()
            records.append(message)
    assert len(records) == count, f"{len(records)} of {count}"
    return records


def administration(admin):
    step("topics: create, grow, describe, refuse")
    results(admin.create_topics([NewTopic("t", 2, REPLICAS, config={"retention.ms": "86400000"})]))
    expect_error("TOPIC_ALREADY_EXISTS", lambda: results(admin.create_topics([NewTopic("t", 1, 1)])))
    expect_error("INVALID_REPLICATION_FACTOR", lambda: results(admin.create_topics([NewTopic("u", 1, REPLICAS + 2)])))
    expect_error("TOPIC_EXCEPTION", lambda: results(admin.create_topics([NewTopic("no spaces", 1, 1)])))
    expect_error(
        "INVALID_CONFIG", lambda: results(admin.create_topics([NewTopic("u", 1, 1, config={"nope": "1"})]))
    )
    results(admin.create_partitions([NewPartitions("t", 4)]))
    assert len(admin.list_topics("t").topics["t"].partitions) == 4

    step("configurations: all keys, set, unset, refuse")
    resource = ConfigResource(ResourceType.TOPIC, "t")
    entries = results(admin.describe_configs([resource]))[resource]
    assert len(entries) >= 36, len(entries)
    assert entries["retention.ms"].value == "86400000" and entries["retention.ms"].source == 1
    assert entries["cleanup.policy"].is_default
    change = ConfigEntry("max.message.bytes", "2000", incremental_operation=AlterConfigOpType.SET)
    results(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, "t", incremental_configs=[change])]))
    assert results(admin.describe_configs([resource]))[resource]["max.message.bytes"].value == "2000"
    back = ConfigEntry("max.message.bytes", None, incremental_operation=AlterConfigOpType.DELETE)
    results(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, "t", incremental_configs=[back])]))
    assert results(admin.describe_configs([resource]))[resource]["max.message.bytes"].value == "1048588"


def producing():
    step("an idempotent producer, with headers")
    failures = []
    producer = Producer({"bootstrap.servers": BROKER, "enable.idempotence": True, "linger.ms": 5})
    for i in range(RECORDS):
        producer.produce(
            "t",
            key=f"k{i % 50}",
            value=f"v{i}",
            headers=[("n", str(i).encode()), ("empty", None)],
            on_delivery=lambda error, _: failures.append(error) if error else None,
        )
        producer.poll(0)
    assert producer.flush(30) == 0 and not failures, failures

    step("a record that is too large, and a record without a key in a compacted topic")
    admin = AdminClient({"bootstrap.servers": BROKER})
    small = NewTopic("small", 1, REPLICAS, config={"max.message.bytes": "1000"})
    results(admin.create_topics([small, NewTopic("compacted", 1, REPLICAS, config={"cleanup.policy": "compact"})]))
    for topic, value, code in [("small", "x" * 5000, "MSG_SIZE_TOO_LARGE"), ("compacted", "x", "INVALID_RECORD")]:
        failures.clear()
        producer = Producer({"bootstrap.servers": BROKER})
        producer.produce(topic, value=value, on_delivery=lambda error, _: failures.append(error))
        producer.flush(30)
        assert [failure.name() for failure in failures] == [code], failures


def grouping():
    for strategy in ["range", "roundrobin", "cooperative-sticky"]:
        step(f"two members share the partitions: {strategy}")
        group = f"g-{strategy}"
        seen, lock, done = {}, threading.Lock(), threading.Event()

        def member(name):
            client = consumer(group, partition_assignment_strategy=strategy)
            client.subscribe(["t"])
            while not done.is_set():
                message = client.poll(0.1)
                if message is not None and message.error() is None:
                    with lock:
                        seen.setdefault((message.partition(), message.offset()), []).append(name)
                        complete = len(seen) == RECORDS
                    client.commit(message, asynchronous=True)
                    if complete:
                        done.set()
            client.close()

        members = [threading.Thread(target=member, args=(name,)) for name in "ab"]
        [thread.start() for thread in members]
        assert done.wait(60), f"{len(seen)} of {RECORDS}"
        [thread.join(30) for thread in members]


def following(admin):
    step("committed offsets are where the next member begins")
    first = consumer("c")
    first.subscribe(["t"])
    records = poll_all(first, RECORDS)
    by_key = {}
    for record in records:
        by_key.setdefault(record.key(), []).append(int(record.value()[1:]))
    assert all(values == sorted(values) for values in by_key.values()), "in order for each key"
    assert dict(records[0].headers())["empty"] is None
    first.commit(asynchronous=False)
    first.close()
    second = consumer("c")
    second.subscribe(["t"])
    assert second.poll(3) is None, "everything was read"
    committed = second.committed([TopicPartition("t", partition) for partition in range(4)], timeout=10)
    assert sum(partition.offset for partition in committed) == RECORDS
    low, high = second.get_watermark_offsets(TopicPartition("t", 0), timeout=10)
    assert low == 0 and high == committed[0].offset
    second.close()

    step("a static member keeps its place")
    static = consumer("s", group_instance_id="one")
    static.subscribe(["t"])
    poll_all(static, RECORDS)
    first_id = static.memberid()
    static.close()
    static = consumer("s", group_instance_id="one")
    static.subscribe(["t"])
    poll_all(static, RECORDS)
    assert static.memberid() != first_id
    static.close()

    step("offsets by time, groups listed, described, deleted")
    partition = TopicPartition("t", 0)
    found = results(admin.list_offsets({partition: OffsetSpec.earliest()}))[partition]
    assert found.offset == 0
    found = results(admin.list_offsets({partition: OffsetSpec.for_timestamp(int(time.time() * 1000) - 3600_000)}))
    assert found[partition].offset == 0
    groups = {group.group_id for group in admin.list_consumer_groups().result(30).valid}
    assert {"c", "s", "g-range"} <= groups, groups
    assert results(admin.describe_consumer_groups(["c"]))["c"].state.name == "EMPTY"
    results(admin.delete_consumer_groups(["c"]))
    expect_error("GROUP_ID_NOT_FOUND", lambda: results(admin.delete_consumer_groups(["c"])))

    step("records and topics are deleted")
    results(admin.delete_records([TopicPartition("t", 0, 5)]))
    assert results(admin.list_offsets({partition: OffsetSpec.earliest()}))[partition].offset == 5
    results(admin.delete_topics(["t"]))
    expect_error("UNKNOWN_TOPIC_OR_PART", lambda: results(admin.delete_topics(["t"])))


def main():
    admin = AdminClient({"bootstrap.servers": BROKER})
    assert len(results({"cluster": admin.describe_cluster()})["cluster"].nodes) == REPLICAS
    administration(admin)
    producing()
    grouping()
    following(admin)
    print("all done")


main()
