//! Where orderings stand, and how each can be weaker.

/// A change of one line.
#[derive(Debug, Clone)]
pub(crate) struct Mutant {
    pub(crate) number: usize,
    /// Under `core/src/raw`.
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) what: String,
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

/// Rewrites a file so that each of its orderings asks which mutant is wanted; appends the mutants.
pub(crate) fn rewrite(file: &str, text: &str, mutants: &mut Vec<Mutant>) -> String {
    let mut rewritten = String::new();
    for (index, line) in text.lines().enumerate() {
        let code_ends = line.find("//").unwrap_or(line.len());
        let (mut code, comment) = line.split_at(code_ends);
        // Without its fence a line is another mutant than with a weaker one.
        if code.contains("fence(Ordering::SeqCst);") {
            let number = mutants.len();
            mutants.push(Mutant { number, file: file.to_owned(), line: index + 1, what: "no fence".to_owned() });
            rewritten.push_str(&format!("if !crate::sync::is_mutant({number}) "));
            rewritten.push_str("{ ");
        }
        let has_fence = code.contains("fence(Ordering::SeqCst);");
        while let Some(at) = code.find("Ordering::") {
            let name_at = at + "Ordering::".len();
            let len = code[name_at..].find(|c: char| !c.is_alphanumeric()).unwrap_or(code.len() - name_at);
            let strong = &code[name_at..name_at + len];
            rewritten.push_str(&code[..at]);
            let mut expression = format!("Ordering::{strong}");
            for weak in weaker(strong) {
                let number = mutants.len();
                let what = format!("{strong} as {weak}: {}", line.trim());
                mutants.push(Mutant { number, file: file.to_owned(), line: index + 1, what });
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
    rewritten
}
