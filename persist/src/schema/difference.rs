//! What may differ between two schemas, as data and in words.

use std::fmt;

use super::expression::Word;
use super::{Body, Definition};

/// One thing in which the stored schema and the program's differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where they differ.
    pub place: Place,
    /// How they differ.
    pub change: Change,
}

/// The place of a difference, named as the stored schema does; what only the program has is named as there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The component's own type.
    Root,
    /// A definition as a whole.
    Type {
        /// The definition's name.
        name: String,
    },
    /// A field of a struct, or of a variant (`Venue::Other`).
    Field {
        /// The struct or variant.
        owner: String,
        /// The field's name.
        name: String,
    },
    /// A variant of an enum.
    Variant {
        /// The enum.
        owner: String,
        /// The variant's name.
        name: String,
    },
}

/// What became of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It is in the stored data, and the program knows nothing of it.
    OnlyStored,
    /// The program has it, and the stored data does not.
    OnlyNow,
    /// It has another type. A type of another name is another type, however alike they look.
    Retyped {
        /// The type of the stored data.
        stored: String,
        /// The program's type.
        now: String,
        /// Whether the types look alike but for their names: it may be one type that was renamed, and then
        /// `#[schema(name = "…")]` keeps its stored name.
        look_alike: bool,
    },
    /// It was probably renamed: what is at its position is the same but for the name. If that is so, `#[schema(name = "…")]` keeps the
    /// stored name.
    Renamed {
        /// The program's name.
        now: String,
    },
    /// It stands in another position, counted from 0, and the layout follows the order.
    Moved {
        /// The position in the stored data.
        stored: usize,
        /// The program's position.
        now: usize,
    },
    /// The variant has another discriminant, which is its tag in the stored data.
    Discriminant {
        /// The discriminant in the stored data.
        stored: i128,
        /// The program's discriminant.
        now: i128,
    },
    /// The rkyv attributes that change the archived form are others.
    Form {
        /// The attributes of the stored data.
        stored: Option<String>,
        /// The program's attributes.
        now: Option<String>,
    },
    /// The name stands for a type of another kind.
    Kind {
        /// The kind in the stored data.
        stored: Kind,
        /// The program's kind.
        now: Kind,
    },
}

/// What kind of type a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A struct of the schema.
    Struct,
    /// An enum of the schema.
    Enum,
    /// A primitive, a library type, or another that is known by its name alone.
    Leaf,
}

impl Kind {
    pub(super) fn of(definition: Option<&Definition>) -> Self {
        match definition.map(|definition| &definition.body) {
            Some(Body::Struct(_)) => Self::Struct,
            Some(Body::Enum(_)) => Self::Enum,
            None => Self::Leaf,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.change)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the type"),
            Self::Type { name } => write!(f, "type {name}"),
            Self::Field { owner, name } => write!(f, "field {} of {owner}", Word(name)),
            Self::Variant { owner, name } => write!(f, "variant {} of {owner}", Word(name)),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyStored => f.write_str("only in the stored data"),
            Self::OnlyNow => f.write_str("only in the program"),
            Self::Retyped { stored, now, look_alike: false } => write!(f, "was {stored}, is {now}"),
            Self::Retyped { stored, now, look_alike: true } => {
                write!(f, "was {stored}, is {now}, another type by its name though they look alike")
            }
            Self::Renamed { now } => write!(f, "seems to be named {} now", Word(now)),
            Self::Moved { stored, now } => write!(f, "was at position {stored}, is at position {now}"),
            Self::Discriminant { stored, now } => write!(f, "had the discriminant {stored}, has {now}"),
            Self::Form { stored, now } => {
                write!(f, "was archived {}, is archived {}", Archived(stored), Archived(now))
            }
            Self::Kind { stored, now } => write!(f, "was {stored}, is {now}"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Struct => "a struct",
            Self::Enum => "an enum",
            Self::Leaf => "known by its name alone",
        })
    }
}

struct Archived<'a>(&'a Option<String>);

impl fmt::Display for Archived<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(form) => write!(f, "with rkyv({form})"),
            None => f.write_str("plainly"),
        }
    }
}
