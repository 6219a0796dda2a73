//! Where orderings stand, and how each can be weaker.

use std::fmt;

/// A change of one line.
#[derive(Debug, Clone)]
pub(crate) struct Mutant {
    pub(crate) number: usize,
    /// Under `core/src/raw`.
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) what: String,
    /// What tells it from all others, whatever is planted besides.
    pub(crate) identity: String,
}

impl Mutant {
    /// The mutant with this number, beside these.
    pub(crate) fn new(number: usize, file: &str, line: usize, what: &str, others: &[Self]) -> Self {
        let is_alike = |other: &&Self| (&*other.file, other.line, &*other.what) == (file, line, what);
        let identity = format!("{file}:{line} {what} #{}", others.iter().filter(is_alike).count());
        Self { number, file: file.to_owned(), line, what: what.to_owned(), identity }
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} {}", self.file, self.line, self.what)
    }
}

/// What an ordering can be weakened to: each gives up one edge.
fn weaker(strong: &str) -> &'static [&'static str] {
    match strong {
        "Acquire" | "Release" => &["Relaxed"],
        "AcqRel" => &["Acquire", "Release"],
        "SeqCst" => &["AcqRel"],
        _ => &[],
    }
}

/// Rewrites a file so that each of its orderings asks which mutant is wanted; appends the mutants. The file's own tests stay as they are.
pub(crate) fn rewrite(file: &str, text: &str, mutants: &mut Vec<Mutant>) -> String {
    let tests = text.find("\n#[cfg(test)]").or_else(|| text.find("\n#[cfg(all(test")).unwrap_or(text.len());
    let (text, tests) = text.split_at(tests);
    let mut rewritten = String::new();
    for (index, line) in text.lines().enumerate() {
        let code_ends = line.find("//").unwrap_or(line.len());
        let (mut code, comment) = line.split_at(code_ends);
        let mut mutant = |what: &str| {
            let number = mutants.len();
            let mutant = Mutant::new(number, file, index + 1, what, mutants);
            mutants.push(mutant);
            number
        };
        // Without its fence a line is another mutant than with a weaker one.
        let has_fence = code.contains("fence(Ordering::SeqCst);");
        if has_fence {
            rewritten.push_str(&format!("if !crate::sync::is_mutant({}) {{ ", mutant("no fence")));
        }
        while let Some(at) = code.find("Ordering::") {
            let name_at = at + "Ordering::".len();
            let len = code[name_at..].find(|c: char| !c.is_alphanumeric()).unwrap_or(code.len() - name_at);
            let strong = &code[name_at..name_at + len];
            rewritten.push_str(&code[..at]);
            let mut expression = format!("Ordering::{strong}");
            for weak in weaker(strong) {
                let number = mutant(&format!("{strong} as {weak}: {}", line.trim()));
                expression =
                    format!("(if crate::sync::is_mutant({number}) {{ Ordering::{weak} }} else {{ {expression} }})");
            }
            rewritten.push_str(&expression);
            code = &code[name_at + len..];
        }
        rewritten.push_str(code);
        if has_fence {
            rewritten.push_str(" }");
        }
        rewritten.push_str(comment);
        rewritten.push('\n');
    }
    rewritten + tests
}
