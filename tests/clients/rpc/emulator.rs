//! The page about tests of other programs: its fixture and its tests, run as a reader would.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

const PAGE: &str = include_str!("../../../docs/emulator.md");

/// The code in Python below the name of a file.
fn code_of(file: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("This is `{file}`:")).unwrap();
    let (_, code) = rest.split_once("```python\n").unwrap();
    code.split_once("```").unwrap().0
}

#[test]
fn the_fixture_of_the_page_runs_in_pytest() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["conftest.py", "test_leavers.py"] {
        fs::write(folder.path().join(file), code_of(file)).unwrap();
    }
    let program = Path::new(env!("CARGO_BIN_EXE_untag")).parent().unwrap();
    let path = format!("{}:{}", program.display(), env::var("PATH").unwrap());
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/venv/bin/python");
    let mut pytest = Command::new(python);
    pytest.args(["-m", "pytest", "-p", "no:cacheprovider"]);
    let output = pytest
        .current_dir(folder.path())
        .env("PATH", path)
        .output()
        .expect("Python runs: run scripts/setup");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("2 passed"), "{said}");
}
