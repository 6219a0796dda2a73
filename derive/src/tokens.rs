//! Writing tokens as text that never changes.
//!
//! The compiler prints tokens with spaces as it sees fit, and promises nothing of it. What goes into a schema is compared with what
//! another compiler wrote years ago, so the spaces here are ours: between two words, and after a comma.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Writes tokens in a form that depends on nothing but the tokens.
pub(crate) fn canonical(tokens: TokenStream) -> String {
    let mut text = String::new();
    write(tokens, &mut text);
    text
}

fn write(tokens: TokenStream, text: &mut String) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                text.push_str(open);
                write(group.stream(), text);
                text.push_str(close);
            }
            TokenTree::Ident(word) => write_word(&word.to_string(), text),
            TokenTree::Literal(word) => write_word(&word.to_string(), text),
            TokenTree::Punct(punct) => {
                if punct.as_char() == '\'' && text.ends_with(is_of_word) {
                    text.push(' ');
                }
                text.push(punct.as_char());
                if punct.as_char() == ',' {
                    text.push(' ');
                }
            }
        }
    }
}

fn write_word(word: &str, text: &mut String) {
    if text.ends_with(is_of_word) {
        text.push(' ');
    }
    text.push_str(word);
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '"'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_do_not_depend_on_the_source() {
        let written = |source: &str| canonical(source.parse().unwrap());
        assert_eq!(written("rkyv :: with :: Map < A ,B >"), "rkyv::with::Map<A, B>");
        assert_eq!(written("Box<dyn   Fn(u8)->u8+Send>"), "Box<dyn Fn(u8)->u8+Send>");
        assert_eq!(written("& 'static [u8 ; 4]"), "&'static[u8;4]");
        assert_eq!(written("<T as Trait>::Item"), "<T as Trait>::Item");
    }
}
