//! The text of a schema, and how two of them differ. The input is one text, or two with a zero between.

use stillpoint_persist::schema::{SchemaError, SchemaText};

/// Reads the texts that an input holds; panics where something does not hold.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (one, two) = text.split_once('\0').unwrap_or((&text, "type (u64, String)\n"));
    let (one, two) = (parse(one), parse(two));
    if let (Some(one), Some(two)) = (one, two) {
        let (there, back) = (differences(&one, &two), differences(&two, &one));
        assert_eq!(there, back, "what differs one way differs the other way");
    }
}

/// Parses a text; what a schema says of itself gives it again, and it does not differ from itself.
fn parse(text: &str) -> Option<SchemaText> {
    let schema = match SchemaText::parse(text) {
        Ok(schema) => schema,
        Err(error) => {
            let (SchemaError::Unexpected { line, .. }
            | SchemaError::TooDeep { line }
            | SchemaError::Duplicate { line, .. }) = &error
            else {
                panic!("an error that this does not know: {error}")
            };
            assert!(*line <= text.split('\n').count(), "the line is one of the text's: {error}");
            assert!(!error.to_string().contains('\n'), "an error is one line");
            return None;
        }
    };
    let again = schema.to_string();
    assert_eq!(SchemaText::parse(&again).as_ref(), Ok(&schema), "its own text gives it again");
    assert!(!differences(&schema, &schema), "it does not differ from itself");
    Some(schema)
}

fn differences(one: &SchemaText, two: &SchemaText) -> bool {
    let differences = one.differences(two);
    for difference in &differences {
        assert!(!difference.to_string().is_empty());
    }
    !differences.is_empty()
}
