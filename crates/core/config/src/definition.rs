//! What is known of one configuration key.

/// The type of a value, as clients are told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// Text.
    String,
    /// 32 bits.
    Int,
    /// 16 bits.
    Short,
    /// 64 bits.
    Long,
    /// A floating-point number.
    Double,
    /// Values separated by commas.
    List,
}

impl Kind {
    /// `ConfigType` in DescribeConfigs responses.
    pub const fn code(self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::String => 2,
            Kind::Int => 3,
            Kind::Short => 4,
            Kind::Long => 5,
            Kind::Double => 6,
            Kind::List => 7,
        }
    }

    /// Kafka's name of the type, as it appears in error messages.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Boolean => "BOOLEAN",
            Kind::String => "STRING",
            Kind::Int => "INT",
            Kind::Short => "SHORT",
            Kind::Long => "LONG",
            Kind::Double => "DOUBLE",
            Kind::List => "LIST",
        }
    }
}

/// How much a key matters to somebody who reads the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// Look at it.
    High,
    /// Perhaps.
    Medium,
    /// Rarely.
    Low,
}

/// Which values a key takes beyond its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Validator {
    Any,
    AtLeast(i64),
    Between(i64, i64),
    /// gzip's own default beside its levels.
    GzipLevel,
    Ratio,
    OneOf(&'static [&'static str]),
    EachOneOf(&'static [&'static str]),
    ThrottledReplicas,
}

/// When a change of a key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// At the next start.
    ReadOnly,
    /// At once, for one broker or for all.
    Dynamic,
}

/// Whether the behaviour behind a key exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Every legal value does what Kafka's does.
    Full,
    /// Only the default is true of this broker, so no other value is taken.
    DefaultOnly,
    /// Another field of `broker.yaml` sets it; it is described, never set under its own name.
    OwnField(&'static str),
}

/// A broker key that provides a topic key's default, and the factor from its unit to the topic key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Synonym {
    pub(crate) key: &'static str,
    pub(crate) factor: i64,
}

/// One configuration key.
#[derive(Clone, Copy, Debug)]
pub struct ConfigDef {
    /// Kafka's name.
    pub name: &'static str,
    /// The type of its values.
    pub kind: Kind,
    /// The value when nobody set one.
    pub default: Option<&'static str>,
    /// One sentence for people.
    pub doc: &'static str,
    /// How much it matters.
    pub importance: Importance,
    /// When a change takes effect.
    pub update: Update,
    /// Whether its behaviour exists.
    pub support: Support,
    pub(crate) validator: Validator,
    pub(crate) synonyms: &'static [Synonym],
}

impl ConfigDef {
    pub(crate) const fn new(
        name: &'static str,
        kind: Kind,
        default: Option<&'static str>,
        doc: &'static str,
    ) -> ConfigDef {
        ConfigDef {
            name,
            kind,
            default,
            doc,
            importance: Importance::Medium,
            update: Update::Dynamic,
            support: Support::Full,
            validator: Validator::Any,
            synonyms: &[],
        }
    }

    pub(crate) const fn valid(mut self, validator: Validator) -> ConfigDef {
        self.validator = validator;
        self
    }

    pub(crate) const fn synonyms(mut self, synonyms: &'static [Synonym]) -> ConfigDef {
        self.synonyms = synonyms;
        self
    }

    pub(crate) const fn default_only(mut self) -> ConfigDef {
        self.support = Support::DefaultOnly;
        self
    }

    pub(crate) const fn own_field(mut self, field: &'static str) -> ConfigDef {
        self.support = Support::OwnField(field);
        self
    }

    pub(crate) const fn read_only(mut self) -> ConfigDef {
        self.update = Update::ReadOnly;
        self
    }

    pub(crate) const fn high(mut self) -> ConfigDef {
        self.importance = Importance::High;
        self
    }

    pub(crate) const fn low(mut self) -> ConfigDef {
        self.importance = Importance::Low;
        self
    }
}
