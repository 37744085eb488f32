//! The Debian package with the program under test: checked by lintian, and installed into a folder by dpkg.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::container::stdout;
use crate::support::{help, untag};
use crate::systemd::{output, verified_unit};

/// Builds the package, once a test process, and returns its path.
fn package() -> &'static Path {
    static PACKAGE: LazyLock<PathBuf> = LazyLock::new(|| {
        let built = output(
            Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/package"))
                .arg(untag().get_program())
                .arg(concat!(env!("CARGO_TARGET_TMPDIR"), "/package"))
                // The program of a test is large, and nobody downloads it.
                .env("DPKG_DEB_COMPRESSOR_LEVEL", "1"),
        );
        PathBuf::from(stdout(&built))
    });
    &PACKAGE
}

/// A folder that dpkg takes for a system.
struct System {
    root: TempDir,
}

impl System {
    /// Installs the package into a new folder.
    fn with_package() -> Self {
        let system = Self {
            root: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(system.path("var/lib/dpkg")).unwrap();
        system.install();
        system
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn install(&self) {
        stdout(&self.dpkg(&["--install", package().to_str().unwrap()]));
    }

    fn dpkg(&self, arguments: &[&str]) -> Output {
        let is_root = stdout(&output(Command::new("id").arg("--user"))) == "0";
        // dpkg gives files to root: others do that in a user namespace.
        let mut command = if is_root {
            Command::new("dpkg")
        } else {
            let mut command = Command::new("unshare");
            command.args(["--map-root-user", "dpkg"]);
            command
        };
        let path = std::env::var("PATH").unwrap();
        command
            .arg("--root")
            .arg(self.root.path())
            // What the package needs is not in the folder, neither libraries nor a shell.
            .args(["--force-depends", "--force-script-chrootless"])
            // Small images of Debian leave documentation out.
            .args(["--path-include=/*", "--log=/dev/null"])
            .args(arguments)
            .env("PATH", format!("{path}:/usr/sbin:/sbin"));
        output(&mut command)
    }

    /// A command of the installed program.
    fn untag(&self) -> Command {
        Command::new(self.path("usr/bin/untag"))
    }
}

#[test]
fn package_has_no_fault_that_lintian_knows() {
    let checked = output(
        Command::new("lintian")
            .args(["--allow-root", "--fail-on=error,warning", "--info"])
            .arg(package()),
    );
    assert!(
        checked.status.success() && checked.stdout.is_empty(),
        "{}{}",
        String::from_utf8_lossy(&checked.stdout),
        String::from_utf8_lossy(&checked.stderr)
    );
}

#[test]
fn package_installs_a_program_a_unit_and_settings_that_fit_together() {
    let system = System::with_package();
    assert_eq!(
        stdout(&output(system.untag().arg("--version"))),
        concat!("untag ", env!("CARGO_PKG_VERSION"))
    );
    let settings = system.path("etc/untag/untag.toml");
    let checked = output(
        system
            .untag()
            .args(["serve", "--check", "--config"])
            .arg(&settings),
    );
    assert!(checked.status.success(), "{checked:?}");

    let unit = system.path("usr/lib/systemd/system/untag.service");
    let unit = fs::read_to_string(unit).unwrap();
    verified_unit(&unit, &system.path("usr/bin/untag"));
    // It starts with the system.
    let wanted = system.path("etc/systemd/system/multi-user.target.wants/untag.service");
    let unit = fs::read_link(wanted).unwrap();
    assert!(
        unit.ends_with("lib/systemd/system/untag.service"),
        "{unit:?}"
    );
    for (shell, file) in [
        ("bash", "usr/share/bash-completion/completions/untag"),
        ("zsh", "usr/share/zsh/vendor-completions/_untag"),
        ("fish", "usr/share/fish/vendor_completions.d/untag.fish"),
    ] {
        let script = stdout(&output(system.untag().args(["completions", shell])));
        let installed = fs::read_to_string(system.path(file)).unwrap();
        assert_eq!(installed.trim_end(), script, "{file}");
    }
}

/// Adds the name of a command's manual page and those of its subcommands, as `--help` lists them.
fn add_pages(command: &[&str], pages: &mut BTreeSet<String>) {
    pages.insert(format!("untag{}.1.gz", {
        let words = command.iter().map(|word| format!("-{word}"));
        words.collect::<String>()
    }));
    let help = help(command);
    let subcommands = help
        .split_once("\nCommands:\n")
        .map_or("", |(_, rest)| rest);
    for line in subcommands.lines().take_while(|line| !line.is_empty()) {
        // Further lines of a description stand further in.
        let Some(name) = line
            .strip_prefix("  ")
            .filter(|line| !line.starts_with(' '))
        else {
            continue;
        };
        let name = name.split(' ').next().unwrap();
        if name != "help" {
            add_pages(&[command, &[name]].concat(), pages);
        }
    }
}

#[test]
fn package_has_a_manual_page_of_each_command_that_man_shows_without_a_warning() {
    let system = System::with_package();
    let folder = system.path("usr/share/man/man1");
    let pages: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut expected = BTreeSet::new();
    add_pages(&[], &mut expected);
    assert!(expected.contains("untag-tags-list.1.gz"), "{expected:?}");
    assert_eq!(pages, expected);
    for page in pages {
        let shown = output(
            Command::new("man")
                // With justification man warns of each line with a word that is too long for it, such as an example in JSON.
                .args(["--warnings", "--no-justification", "--local-file"])
                .arg(folder.join(&page))
                .env("MANWIDTH", "80")
                .env("LC_ALL", "C.UTF-8"),
        );
        assert!(
            shown.status.success() && shown.stderr.is_empty(),
            "{page}: {shown:?}"
        );
        let text = String::from_utf8(shown.stdout).unwrap();
        assert!(text.contains("SYNOPSIS"), "{page}: {text}");
        if page == "untag-serve.1.gz" {
            for word in ["--max-held-bytes", "UNTAG_MAX_HELD_BYTES", "67108864"] {
                assert!(text.contains(word), "{word}: {text}");
            }
        }
    }
}

#[test]
fn package_keeps_settings_until_it_is_purged_and_data_for_ever() {
    let system = System::with_package();
    let settings = system.path("etc/untag/untag.toml");
    let mut file = fs::OpenOptions::new().append(true).open(&settings).unwrap();
    file.write_all(b"no-reflection = true\n").unwrap();
    let changed = fs::read(&settings).unwrap();
    let data = system.path("var/lib/private/untag/untag.db");
    fs::create_dir_all(data.parent().unwrap()).unwrap();
    fs::write(&data, "a store").unwrap();

    // An upgrade, and a removal.
    system.install();
    assert_eq!(fs::read(&settings).unwrap(), changed);
    stdout(&system.dpkg(&["--remove", "untag"]));
    assert!(!system.path("usr/bin/untag").exists());
    assert_eq!(fs::read(&settings).unwrap(), changed);

    let said = stdout(&system.dpkg(&["--purge", "untag"]));
    assert!(!settings.exists());
    assert_eq!(fs::read_to_string(&data).unwrap(), "a store");
    let kept = "untag: /var/lib/private/untag is kept";
    assert!(said.contains(kept), "{said}");
    assert!(!said.contains("/var/log/private/untag"), "{said}");
}

#[test]
fn package_has_an_sbom_that_is_cyclonedx_and_the_licence_of_each_crate_in_it() {
    const VALIDATE: &str = "import sys\n\
        from cyclonedx.schema import SchemaVersion\n\
        from cyclonedx.validation.json import JsonStrictValidator\n\
        fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())\n\
        print(str(fault)[:500])\n";
    let system = System::with_package();
    let compressed = system.path("usr/share/doc/untag/untag.cdx.json.gz");
    let text = stdout(&output(
        Command::new("gunzip").arg("--stdout").arg(compressed),
    ));
    let file = system.path("untag.cdx.json");
    fs::write(&file, &text).unwrap();
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/venv/bin/python");
    let validated = output(Command::new(python).args(["-c", VALIDATE]).arg(&file));
    assert_eq!(stdout(&validated), "None", "no fault");

    let sbom: serde_json::Value = serde_json::from_str(&text).unwrap();
    let components = sbom["components"].as_array().unwrap();
    let scope_of = |name: &str| {
        let component = components
            .iter()
            .find(|component| component["name"] == name);
        component.map(|component| component["scope"].as_str().unwrap())
    };
    let third_party = system.path("usr/share/doc/untag/THIRD-PARTY.gz");
    let licences = output(Command::new("gunzip").arg("--stdout").arg(third_party));
    let licences = String::from_utf8(licences.stdout).unwrap();
    for component in components {
        let text = |name: &str| component[name].as_str().unwrap_or_default();
        let of = format!("{} {}", text("name"), text("version"));
        // The libraries that are no crates are spoken of by other names.
        if text("scope") == "required" && text("purl").starts_with("pkg:cargo/") {
            assert!(licences.contains(&of), "no licence of {of}");
        }
    }
    for (name, scope) in [
        ("rusqlite", Some("required")),
        ("sqlite", Some("required")),
        ("opentelemetry", Some("required")),
        ("rust", Some("required")),
        ("glibc", Some("optional")),
        ("clap_derive", Some("excluded")),
        ("protox", Some("excluded")),
        ("proptest", None),
    ] {
        assert_eq!(scope_of(name), scope, "{name}");
    }
    let sqlite = components
        .iter()
        .find(|component| component["name"] == "sqlite");
    assert_eq!(sqlite.unwrap()["version"], rusqlite::version());
}
