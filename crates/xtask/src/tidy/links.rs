//! Links from one page to another: the file that a relative link names is there.

use super::{Findings, Texts};

pub(super) fn check(pages: &Texts, exists: impl Fn(&str) -> bool) -> Findings {
    let mut findings = Findings::new();
    for (page, text) in pages {
        for link in links(text) {
            if let Some(target) = target(page, link).filter(|target| !exists(target)) {
                findings.push(format!("{page}: links to {target}, which is not there"));
            }
        }
    }
    findings
}

/// What stands between `](` and `)`, outside code.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (index, block) in text.split("```").enumerate() {
        if index % 2 == 1 {
            continue;
        }
        let ends = block.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        found.extend(ends.map(|(link, _)| link));
    }
    found
}

/// The path from the root; `None` for a place on the same page or on another host.
fn target(page: &str, link: &str) -> Option<String> {
    let path = link.split(['#', ' ']).next().unwrap_or_default();
    if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
        return None;
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::texts;

    #[test]
    fn a_link_to_nothing_is_found() {
        let pages = texts([(
            "docs/book/start.md",
            "[a](../adr/1.md#x) [b](gone.md) [c](https://example.org) [d](#here)\n```\n[e](code.md)\n```\n",
        )]);
        let findings = check(&pages, |path| path == "docs/adr/1.md");
        assert_eq!(findings, ["docs/book/start.md: links to docs/book/gone.md, which is not there"]);
    }
}
