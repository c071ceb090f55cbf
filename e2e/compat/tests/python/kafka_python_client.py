"""kafka-python against one broker: administration, a producer with each of its codecs, consumers alone and in a group."""

import sys
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.errors import TopicAlreadyExistsError
from kafka.structs import OffsetAndMetadata

BROKER = sys.argv[1]
REPLICAS = int(sys.argv[2])
RECORDS = 500


def step(name):
    print(name, flush=True)


def drain(consumer, count, seconds=30):
    records, end = [], time.time() + seconds
    while len(records) < count and time.time() < end:
        for batch in consumer.poll(timeout_ms=500).values():
            records.extend(batch)
    assert len(records) == count, f"{len(records)} of {count}"
    return records


def main():
    admin = KafkaAdminClient(bootstrap_servers=BROKER)
    step("topics: create, refuse, grow, list, describe")
    admin.create_topics([NewTopic("t", 2, REPLICAS, topic_configs={"retention.ms": "3600000"})])
    try:
        admin.create_topics([NewTopic("t", 2, REPLICAS)])
        raise AssertionError("created twice")
    except TopicAlreadyExistsError:
        pass
    admin.create_partitions({"t": NewPartitions(3)})
    assert "t" in admin.list_topics()
    assert len(admin.describe_topics(["t"])[0]["partitions"]) == 3

    step("configurations")
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "t", configs={"max.message.bytes": "5000"})])
    described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "t")])
    assert "5000" in str(described), described

    for codec in [None, "gzip"]:
        step(f"a producer: {codec}")
        producer = KafkaProducer(bootstrap_servers=BROKER, compression_type=codec, acks="all", linger_ms=5)
        sent = [producer.send("t", key=f"k{i % 20}".encode(), value=f"v{i}".encode()) for i in range(RECORDS)]
        producer.flush(30)
        assert all(future.get(10).offset >= 0 for future in sent)
        producer.close()

    step("a consumer that assigns itself")
    alone = KafkaConsumer(bootstrap_servers=BROKER, auto_offset_reset="earliest", enable_auto_commit=False)
    partitions = [TopicPartition("t", index) for index in range(3)]
    alone.assign(partitions)
    records = drain(alone, 2 * RECORDS)
    by_key = {}
    for record in records:
        by_key.setdefault(record.key, []).append(int(record.value[1:]))
    assert all(values[: len(values) // 2] == sorted(values[: len(values) // 2]) for values in by_key.values())
    assert sum(alone.end_offsets(partitions).values()) == 2 * RECORDS
    assert set(alone.beginning_offsets(partitions).values()) == {0}
    hour_ago = int(time.time() * 1000) - 3_600_000
    assert alone.offsets_for_times({partitions[0]: hour_ago})[partitions[0]].offset == 0
    alone.close()

    step("a group, with the sticky assignor")
    config = {
        "bootstrap_servers": BROKER,
        "group_id": "g",
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "partition_assignment_strategy": [StickyPartitionAssignor],
    }
    member = KafkaConsumer("t", **config)
    drain(member, 2 * RECORDS)
    member.commit()
    member.close()
    member = KafkaConsumer("t", **config)
    assert not member.poll(timeout_ms=3000), "everything was read"
    assert sum(member.committed(partition) for partition in partitions) == 2 * RECORDS
    member.commit({partitions[0]: OffsetAndMetadata(0, "again", -1)})
    member.close()
    offsets = admin.list_group_offsets({"g": None})["g"]
    assert offsets[partitions[0]].offset == 0 and offsets[partitions[0]].metadata == "again", offsets
    assert "'g'" in str(admin.list_groups())
    assert "Empty" in str(admin.describe_groups(["g"]))
    admin.delete_groups(["g"])
    assert "'g'" not in str(admin.list_groups())

    step("topics are deleted")
    admin.delete_topics(["t"])
    # Another broker than the one that answered hears of it a moment later.
    deadline = time.time() + 10
    while "t" in admin.list_topics():
        assert time.time() < deadline
        time.sleep(0.1)
    print("all done")


main()
