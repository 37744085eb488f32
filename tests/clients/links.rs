//! The pages of the documentation: every link leads somewhere, and no page is too long to be read.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The most bytes that the README may have.
const README_BYTES: usize = 8 * 1024;
/// The most bytes that the map of the code may have: two pages.
const MAP_BYTES: usize = 9 * 1024;
/// The most bytes that a page of docs/ may have.
const PAGE_BYTES: usize = 10 * 1024;
/// The most bytes that the page of a decision may have.
const DECISION_BYTES: usize = 4 * 1024;

/// Every page of the repository, by its path from the root.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(ROOT).join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            let hidden = path.to_str().unwrap().starts_with(['.', 't']);
            if entry.file_type().unwrap().is_dir() {
                folders.extend((!hidden).then_some(path));
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

fn read(page: &Path) -> String {
    fs::read_to_string(Path::new(ROOT).join(page)).unwrap()
}

/// The text without what is code.
fn prose(page: &str) -> String {
    let blocks = page.split("```").step_by(2);
    blocks
        .flat_map(|text| text.lines().chain([""]))
        .fold(String::new(), |prose, line| prose + line + "\n")
}

/// The anchor of a heading in a link, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
    let name: String = heading.chars().filter(kept).collect();
    name.to_lowercase().replace(' ', "-")
}

fn anchors(page: &Path) -> BTreeSet<String> {
    let prose = prose(&read(page));
    let headings = prose.lines().filter_map(|line| {
        let heading = line.trim_start_matches('#').strip_prefix(' ')?;
        line.starts_with('#').then(|| anchor(heading))
    });
    headings.collect()
}

/// The links of a page to others of the repository: the path from the root, and the anchor.
fn links(page: &Path) -> Vec<(PathBuf, String)> {
    let prose = prose(&read(page));
    let targets = prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://"));
    let links = targets.map(|target| {
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let path = match path {
            "" => page.to_owned(),
            path => normal(&page.parent().unwrap().join(path)),
        };
        (path, anchor.to_owned())
    });
    links.collect()
}

/// A path without `..`.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, part| {
        if part.as_os_str() == ".." {
            normal.pop();
        } else {
            normal.push(part);
        }
        normal
    })
}

#[test]
fn every_link_of_every_page_leads_somewhere() {
    let pages = pages();
    assert!(pages.len() > 15, "{pages:?}");
    let mut dead = Vec::new();
    for page in &pages {
        for (target, anchor) in links(page) {
            let exists = Path::new(ROOT).join(&target).exists();
            if !exists || (!anchor.is_empty() && !anchors(&target).contains(&anchor)) {
                dead.push(format!("{}: {}#{anchor}", page.display(), target.display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links: {dead:#?}");
}

#[test]
fn the_indices_have_every_page_and_no_page_is_too_long() {
    let index = |folder: &str| -> BTreeSet<PathBuf> {
        let index = links(&Path::new(folder).join("README.md"));
        index.into_iter().map(|(target, _)| target).collect()
    };
    let most = |page: &Path| match page.parent()?.to_str()? {
        "docs" => Some(PAGE_BYTES),
        "docs/decisions" if page.ends_with("README.md") => Some(PAGE_BYTES),
        "docs/decisions" => Some(DECISION_BYTES),
        "" if page.ends_with("README.md") => Some(README_BYTES),
        "" if page.ends_with("ARCHITECTURE.md") => Some(MAP_BYTES),
        _ => None,
    };
    for page in pages() {
        let (bytes, most) = (read(&page).len(), most(&page).unwrap_or(usize::MAX));
        assert!(bytes <= most, "{page:?} has {bytes} bytes: make two of it");
    }
    for folder in ["docs", "docs/decisions"] {
        let index = index(folder);
        for page in pages() {
            if page.parent() == Some(Path::new(folder)) && !page.ends_with("README.md") {
                assert!(index.contains(&page), "{folder}/README.md lacks {page:?}");
            }
        }
    }
}
