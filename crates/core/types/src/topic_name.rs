//! Which topic names are legal (`org.apache.kafka.common.internals.Topic`).

const NAME_LEN_MAX: usize = 249;

/// Why a topic name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopicName {
    /// The empty string.
    #[error("topic name is empty")]
    Empty,
    /// `.` or `..`, which would be directories.
    #[error("topic name cannot be {0:?}")]
    Dots(String),
    /// More than 249 characters: the partition's directory adds a suffix and must fit in 255.
    #[error("topic name is {length} characters long, the maximum is {NAME_LEN_MAX}")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// A character outside `[a-zA-Z0-9._-]`.
    #[error(
        "topic name {name:?} contains {character:?}: only ASCII letters, digits, '.', '_' and '-' are legal"
    )]
    IllegalCharacter {
        /// The name.
        name: String,
        /// The first offender.
        character: char,
    },
}

/// Checks a topic name.
pub fn validate_topic_name(name: &str) -> Result<(), InvalidTopicName> {
    if name.is_empty() {
        return Err(InvalidTopicName::Empty);
    }
    if name == "." || name == ".." {
        return Err(InvalidTopicName::Dots(name.to_owned()));
    }
    if name.len() > NAME_LEN_MAX {
        return Err(InvalidTopicName::TooLong { length: name.chars().count() });
    }
    match name.chars().find(|&c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(character) => Err(InvalidTopicName::IllegalCharacter { name: name.to_owned(), character }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidTopicName, validate_topic_name};

    #[test]
    fn names_are_judged_as_kafka_does() {
        for good in ["a", "orders", "a.b_c-D9", &"x".repeat(249)] {
            assert_eq!(validate_topic_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "ü", &"x".repeat(250)] {
            assert!(validate_topic_name(bad).is_err(), "{bad}");
        }
        assert_eq!(
            validate_topic_name("a/b"),
            Err(InvalidTopicName::IllegalCharacter { name: "a/b".into(), character: '/' })
        );
    }
}
