//! Each thing that must not be is seen.

use super::*;

fn part() -> Part {
    ("topic".to_owned(), 0)
}

fn id(number: u64) -> RecordId {
    RecordId { producer: 1, number }
}

fn log(numbers: &[u64]) -> BTreeMap<Part, FinalLog> {
    BTreeMap::from([(part(), (0..).zip(numbers.iter().copied().map(id)).collect())])
}

fn violations(told: impl FnOnce(&mut Told), log: &BTreeMap<Part, FinalLog>) -> Vec<String> {
    let mut all = Told::default();
    told(&mut all);
    all.check(log);
    all.violations
}

fn tell_three(told: &mut Told) {
    (0..3).for_each(|number| told.acknowledged(part(), number, id(number.cast_unsigned())));
}

#[test]
fn what_was_told_and_is_there_is_no_violation() {
    assert_eq!(violations(tell_three, &log(&[0, 1, 2, 3])), Vec::<String>::new());
}

#[test]
fn a_lost_record_is_seen() {
    assert_eq!(violations(tell_three, &log(&[0, 1])).len(), 1);
    assert_eq!(violations(tell_three, &BTreeMap::new()).len(), 1);
    assert_eq!(violations(|told| told.read("group", part(), 7, id(7)), &log(&[0])).len(), 1);
    assert_eq!(violations(|told| told.acknowledged(part(), -1, id(7)), &log(&[0])).len(), 1);
}

#[test]
fn a_duplicate_and_another_order_are_seen() {
    assert_eq!(violations(tell_three, &log(&[0, 1, 2, 2])).len(), 1);
    assert_eq!(violations(|_| {}, &log(&[0, 2, 1])).len(), 1);
}

#[test]
fn a_second_value_of_an_offset_is_seen() {
    let twice = |told: &mut Told| {
        told.acknowledged(part(), 0, id(0));
        told.read("group", part(), 0, id(1));
    };
    assert_eq!(violations(twice, &log(&[0])).len(), 1);
}

#[test]
fn a_commit_that_goes_back_is_seen() {
    let back = |told: &mut Told| {
        told.committed("group", part(), 5);
        let acknowledged = told.committed_of("group", &part());
        told.committed_read("group", &part(), 5, acknowledged);
        told.committed_read("group", &part(), 4, acknowledged);
    };
    assert_eq!(violations(back, &log(&[])).len(), 1);
}

#[test]
fn an_identity_is_read_from_a_value() {
    assert_eq!(RecordId::parse(b"1.42"), Some(id(42)));
    assert_eq!(RecordId::parse(b"1.42 xxxx"), Some(id(42)));
    assert_eq!(RecordId::parse(b"42"), None);
    assert_eq!(RecordId::parse(&[0xff, 0xfe]), None);
}
