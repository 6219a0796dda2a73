//! Derived schemas: what they say of a type, and what reopening tells of a type that changed.

#![expect(dead_code, reason = "the types are described, and seldom made")]

use std::collections::HashMap;
use std::marker::PhantomData;

use rkyv::with::{AsString, Skip};
use rkyv::{Archive, Deserialize, Serialize};
use stillpoint_persist::Schema;
use stillpoint_persist::schema::{Change, SchemaText};

/// Each version of a program's types has a module of its own, as two types of one name cannot share one.
mod stored {
    use super::*;

    #[derive(Schema, Archive, Serialize, Deserialize)]
    pub(crate) struct Quote {
        pub(crate) bid: i64,
        pub(crate) ask: i64,
        pub(crate) venue: Venue,
    }

    #[derive(Schema, Archive, Serialize, Deserialize)]
    pub(crate) enum Venue {
        Lse,
        Other(String),
        Cross { left: u32, right: u32 },
    }
}

/// What reopening the data of `stored::Quote` tells a program with the given type.
fn told<Now: Schema>() -> Vec<String> {
    let stored = SchemaText::parse(&SchemaText::of::<stored::Quote>().to_string()).unwrap();
    stored.differences(&SchemaText::of::<Now>()).iter().map(ToString::to_string).collect()
}

#[test]
fn a_schema_is_written_field_by_field() {
    let text = "\
type HashMap<u64, Quote>
struct Quote
  bid: i64
  ask: i64
  venue: Venue
enum Venue
  Lse = 0
  Other = 1 (String)
  Cross = 2
    left: u32
    right: u32
";
    assert_eq!(SchemaText::of::<HashMap<u64, stored::Quote>>().to_string(), text);
}

#[test]
fn an_unchanged_type_is_taken_wherever_it_lies() {
    mod now {
        use super::*;
        pub(crate) mod inner {
            use super::*;
            #[derive(Schema)]
            pub(crate) struct Quote {
                pub(crate) bid: i64,
                pub(crate) ask: i64,
                pub(crate) venue: stored::Venue,
            }
        }
    }
    assert_eq!(told::<now::inner::Quote>(), [""; 0]);
}

#[test]
fn changed_fields_are_named() {
    #[derive(Schema)]
    struct Quote {
        bid: i64,
        ask: f64,
        size: u32,
    }
    assert_eq!(
        told::<Quote>(),
        [
            "field ask of Quote: was i64, is f64",
            "field venue of Quote: only in the stored data",
            "field size of Quote: only in the program",
        ]
    );
}

#[test]
fn reordered_fields_are_refused() {
    #[derive(Schema)]
    struct Quote {
        ask: i64,
        bid: i64,
        venue: stored::Venue,
    }
    assert_eq!(
        told::<Quote>(),
        [
            "field bid of Quote: was at position 0, is at position 1",
            "field ask of Quote: was at position 1, is at position 0",
        ]
    );
}

#[test]
fn a_field_that_moves_because_another_is_new_is_not_told_apart() {
    #[derive(Schema)]
    struct Quote {
        seen: u64,
        bid: i64,
        ask: i64,
        venue: stored::Venue,
    }
    assert_eq!(told::<Quote>(), ["field seen of Quote: only in the program"]);
}

#[test]
fn a_renamed_field_is_told_and_an_attribute_keeps_its_name() {
    mod renamed {
        use super::*;
        #[derive(Schema)]
        pub(crate) struct Quote {
            pub(crate) bid: i64,
            pub(crate) offer: i64,
            pub(crate) venue: stored::Venue,
        }
    }
    #[derive(Schema)]
    #[schema(name = "Quote")]
    struct Price {
        bid: i64,
        #[schema(name = "ask")]
        offer: i64,
        venue: stored::Venue,
    }
    assert_eq!(told::<renamed::Quote>(), ["field ask of Quote: seems to be named offer now"]);
    assert_eq!(told::<Price>(), [""; 0]);
}

#[test]
fn another_name_is_another_type() {
    #[derive(Schema)]
    struct Price {
        bid: i64,
        ask: i64,
        venue: stored::Venue,
    }
    assert_eq!(told::<Price>(), ["the type: was Quote, is Price, another type by its name though they look alike"]);
}

#[test]
fn changed_variants_are_named_also_deep_inside() {
    #[derive(Schema)]
    struct Quote {
        bid: i64,
        ask: i64,
        venue: Venue,
    }
    #[derive(Schema)]
    enum Venue {
        Xetra,
        Lse,
        Other(u16),
        Cross { left: u32 },
    }
    assert_eq!(
        told::<Quote>(),
        [
            "variant Lse of Venue: had the discriminant 0, has 1",
            "variant Other of Venue: had the discriminant 1, has 2",
            "field 0 of Venue::Other: was String, is u16",
            "variant Cross of Venue: had the discriminant 2, has 3",
            "field right of Venue::Cross: only in the stored data",
            "variant Xetra of Venue: only in the program",
        ]
    );
}

#[test]
fn a_struct_that_became_an_enum_is_told() {
    #[derive(Schema)]
    enum Quote {
        None,
    }
    assert_eq!(told::<Quote>(), ["type Quote: was a struct, is an enum"]);
}

#[test]
fn discriminants_are_those_of_the_compiler() {
    const BASE: u8 = 10;

    #[derive(Schema, Archive, Serialize, Deserialize)]
    #[repr(u8)]
    enum Coded {
        A = BASE,
        B,
        #[schema(name = "Third")]
        C = BASE * 2 + 1,
        r#D,
    }
    let text = "type Coded\nenum Coded\n  A = 10\n  B = 11\n  Third = 21\n  D = 22\n";
    assert_eq!(SchemaText::of::<Coded>().to_string(), text);
}

/// The schema lets variants change places, so the archives must.
#[test]
fn variants_in_another_order_with_their_old_discriminants_are_taken() {
    mod one {
        #[derive(super::Schema, super::Archive, super::Serialize, super::Deserialize)]
        #[repr(u8)]
        pub(crate) enum Event {
            Tick = 3,
            Trade(u32, i64) = 7,
            Note { text: String } = 9,
        }
    }
    mod two {
        #[derive(super::Schema, super::Archive, super::Serialize, super::Deserialize, Debug, PartialEq)]
        #[repr(u8)]
        pub(crate) enum Event {
            Note { text: String } = 9,
            Trade(u32, i64) = 7,
            Tick = 3,
        }
    }
    assert_eq!(SchemaText::of::<one::Event>().differences(&SchemaText::of::<two::Event>()), []);

    let pairs = [
        (one::Event::Tick, two::Event::Tick),
        (one::Event::Trade(5, -6), two::Event::Trade(5, -6)),
        (one::Event::Note { text: "late".into() }, two::Event::Note { text: "late".into() }),
    ];
    for (written, expected) in pairs {
        let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&written).unwrap();
        let read = rkyv::from_bytes::<two::Event, rkyv::rancor::Error>(&bytes).unwrap();
        assert_eq!(read, expected);
    }
}

#[test]
fn recursive_and_generic_types_end() {
    #[derive(Schema)]
    struct Tree<T, const WAYS: usize> {
        value: T,
        children: [Option<Box<Tree<T, WAYS>>>; WAYS],
        forest: Forest,
    }
    #[derive(Schema)]
    struct Forest(Vec<Tree<u8, 2>>);

    let text = "\
type Tree<u8, 2>
struct Tree<u8, 2>
  value: u8
  children: [Option<Box<Tree<u8, 2>>>; 2]
  forest: Forest
struct Forest
  0: Vec<Tree<u8, 2>>
";
    let schema = SchemaText::of::<Tree<u8, 2>>();
    assert_eq!(schema.to_string(), text);
    assert_eq!(schema.differences(&schema), []);
    assert_eq!(
        schema.differences(&SchemaText::of::<Tree<u8, 3>>())[0].to_string(),
        "the type: was Tree<u8, 2>, is Tree<u8, 3>"
    );
}

#[test]
fn associated_types_of_parameters_are_described() {
    trait Market: Schema {
        type Price;
    }
    #[derive(Schema)]
    struct Paris;
    impl Market for Paris {
        type Price = i64;
    }
    #[derive(Schema)]
    struct Trade<M: Market> {
        price: M::Price,
        last: Option<<M as Market>::Price>,
    }
    let text = "type Trade<Paris>\nstruct Trade<Paris>\n  price: i64\n  last: Option<i64>\n";
    assert_eq!(SchemaText::of::<Trade<Paris>>().to_string(), text);
}

#[test]
fn what_a_marker_marks_does_not_count() {
    #[derive(Schema)]
    struct Id<T> {
        number: u64,
        of: PhantomData<fn(T)>,
    }
    let text = "type Id<Quote>\nstruct Id<Quote>\n  number: u64\n  of: PhantomData\n";
    assert_eq!(SchemaText::of::<Id<stored::Quote>>().to_string(), text);
}

#[test]
fn two_types_of_one_name_are_not_confused() {
    mod fx {
        #[derive(super::Schema)]
        pub(crate) struct Quote {
            pub(crate) rate: f64,
        }
    }
    type Both = (stored::Venue, fx::Quote, stored::Quote);
    type Swapped = (stored::Venue, stored::Quote, fx::Quote);

    let schema = SchemaText::of::<Both>();
    assert_eq!(schema.root().to_string(), "(Venue, Quote, Quote#2)");
    assert_eq!(schema.differences(&schema), []);
    let told: Vec<_> = schema.differences(&SchemaText::of::<Swapped>()).iter().map(ToString::to_string).collect();
    assert!(told.contains(&"field rate of Quote: only in the stored data".to_owned()), "{told:?}");
    assert!(told.contains(&"field bid of Quote#2: only in the stored data".to_owned()), "{told:?}");
}

#[test]
fn ordinals_alone_are_no_difference() {
    mod one {
        #[derive(super::Schema)]
        pub(crate) struct Leg(pub(crate) u8);
    }
    mod two {
        #[derive(super::Schema)]
        pub(crate) struct Leg(pub(crate) u16);
        #[derive(super::Schema)]
        pub(crate) struct Swap(pub(crate) Leg);
    }
    // Beside another `Leg`, the one that `Swap` holds is written `Leg#2`.
    let beside = SchemaText::of::<(one::Leg, two::Swap)>().to_string();
    let swap = "struct Swap\n  0: Leg#2\nstruct Leg#2\n  0: u16\n";
    assert_eq!(beside, format!("type (Leg, Swap)\nstruct Leg\n  0: u8\n{swap}"));

    let stored = SchemaText::parse(&format!("type Swap\n{swap}")).unwrap();
    assert_eq!(stored.differences(&SchemaText::of::<two::Swap>()), []);
}

#[test]
fn attributes_that_change_the_archived_form_count() {
    #[derive(Schema, Archive, Serialize, Deserialize)]
    #[rkyv(derive(Debug), attr(repr(C)), archived = StoredSettings)]
    struct Settings {
        #[rkyv(with = AsString)]
        #[schema(opaque)]
        folder: std::path::PathBuf,
        #[rkyv(with = Skip)]
        cache: u64,
        #[rkyv(omit_bounds)]
        plain: u64,
    }
    let text = "\
type Settings
struct Settings rkyv \"attr(repr(C))\"
  folder: \"std::path::PathBuf\" rkyv \"with = AsString\"
  cache: u64 rkyv \"with = Skip\"
  plain: u64
";
    let schema = SchemaText::of::<Settings>();
    assert_eq!(schema.to_string(), text);
    assert_eq!(SchemaText::parse(text), Ok(schema.clone()));

    let plain = SchemaText::parse(&text.replace(" rkyv \"with = Skip\"", "")).unwrap();
    let differences = plain.differences(&schema);
    assert!(matches!(&differences[..], [one] if matches!(&one.change, Change::Form { stored: None, .. })));
    assert_eq!(
        differences[0].to_string(),
        "field cache of Settings: was archived plainly, is archived with rkyv(with = Skip)"
    );
}

#[test]
fn a_type_that_became_known_by_its_name_alone_is_told() {
    let stored = SchemaText::parse("type Duration\nstruct Duration\n  ms: u64\n").unwrap();
    let told = stored.differences(&SchemaText::of::<std::time::Duration>());
    assert_eq!(told[0].to_string(), "type Duration: was a struct, is known by its name alone");
}
