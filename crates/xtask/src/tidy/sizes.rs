//! The longest files and functions, so that somebody looks. Nothing fails for its length.

use super::Texts;

/// How many of each are printed.
const SHOWN: usize = 10;

pub(super) fn print(rust: &Texts) {
    let written = || rust.iter().filter(|(_, text)| !is_generated(text));
    println!("longest files:");
    show(written().map(|(path, text)| (text.lines().count(), path.clone())).collect());
    println!("longest functions:");
    let found = written().flat_map(|(path, text)| {
        functions(text).into_iter().map(move |(lines, name)| (lines, format!("{path}: {name}")))
    });
    show(found.collect());
}

fn show(mut sizes: Vec<(usize, String)>) {
    sizes.sort_by(|a, b| b.cmp(a));
    for (lines, what) in sizes.iter().take(SHOWN) {
        println!("{lines:6}  {what}");
    }
}

fn is_generated(text: &str) -> bool {
    text.lines().take(12).any(|line| line.contains("enerated"))
}

/// Lines and name of each function. The text is as rustfmt leaves it: a body ends with the first brace that stands as
/// far left as the line that began it.
fn functions(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let end = format!("{}}}", " ".repeat(indent));
        let body = lines[start..].iter().position(|line| **line == end);
        if let (Some(length), false) = (body, line.ends_with('}') || line.ends_with(';')) {
            found.push((length + 1, name.to_owned()));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let (before, rest) = line.split_once("fn ")?;
    let is_head = before.split_whitespace().all(|word| {
        word.starts_with("pub") || matches!(word, "const" | "async" | "unsafe" | "extern" | "in")
    });
    is_head.then(|| rest.split(['(', '<']).next()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_to_their_brace() {
        let text = "impl A {\n    pub(crate) async fn long(\n        a: u8,\n    ) {\n        if a {\n        }\n    }\n\
            \n    fn short() {}\n}\nfn last<T>() {\n}\n// a fn in prose\n";
        assert_eq!(functions(text), [(6, "long".to_owned()), (2, "last".to_owned())]);
    }

    #[test]
    fn generated_files_are_left_out() {
        assert!(is_generated("//! Generated from FetchRequest.json.\n"));
        assert!(!is_generated("//! Owns a.\n"));
    }
}
