"""Plants faults in a copy of the work tree, one after the other, and checks that the test that is to catch each does.

A fault is a patch in tests/planted, whose text above the diff says what is wrong, which test catches it, and a text of the failure:

    Caught-by: --test stores crash::kill::a_test
    Says: what the message of the failure has; one of several

A test has caught a fault where it passes without it, fails with it, and says that. A fault that can't be built, a test that does not
end in time, and one that fails in another way are not."""

import argparse
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PATCHES = ROOT / "tests" / "planted"
PLANTED = ROOT / "target" / "planted"
TREE = PLANTED / "tree"

# Dependencies are those that the tests have compiled. Our own crates have another profile, and so other files: nothing of a fault is
# ever taken for the program.
CRATES = ["untag", "untag-power-loss"]
CARGO = ["cargo", "test", "--locked", "--features=otlp", *(f"--package={crate}" for crate in CRATES)]
PROFILE = [f"--config=profile.dev.package.{crate}.debug=false" for crate in CRATES]

# Seconds. The machine may be busy with other things.
BUILD_TIMEOUT = 1200
TEST_TIMEOUT = 600
# How many seeds are tried before a fault counts as not caught: what is caught by chance may be missed once.
TRIES = 3
# Tests whose names begin like this are those of scripts/threads: their crate is compiled in another way, and they run under so many
# schedules together.
THREADS = "threads_"
THREADS_ENVIRONMENT = {"RUSTC_WORKSPACE_WRAPPER": str(ROOT / "scripts" / "rustc-with-shuttle"), "UNTAG_SCHEDULES": "100000"}
# The variables that hold the seed of a test, and how many images of lost power there are for all tests together.
SEEDS = ["UNTAG_POWER_LOSS_SEED", "UNTAG_CRASH_SEED", "UNTAG_THREADS_SEED"]
IMAGES = "UNTAG_POWER_LOSS_IMAGES"

CAUGHT, NOT_CAUGHT, FAILED = "caught", "NOT CAUGHT", "could not be built or tested"


class Fault:
    """A patch, and what its text above the diff says."""

    def __init__(self, path):
        self.path, self.name = path, path.stem
        header = path.read_text(encoding="utf-8").split("\ndiff --git ", 1)[0]
        [caught_by] = fields(path, header, "Caught-by")
        caught_by = caught_by.split()
        self.target, self.test = caught_by[:-1], caught_by[-1]
        self.says = fields(path, header, "Says")
        is_of_threads = self.test.rsplit("::", 1)[-1].startswith(THREADS)
        self.environment = THREADS_ENVIRONMENT if is_of_threads else {}


def fields(path, header, name):
    found = re.findall(rf"^{name}: (.+)$", header, re.M)
    if not found:
        sys.exit(f"{path}: its header has no line '{name}: …'")
    return found


def say(line):
    print(f"planted: {line}", flush=True)


def run(command, timeout, **options):
    """Runs a command to its end. Returns its exit code, None where it took too long, and what it printed."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True, **options
        )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            # What a test leaves running too.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        output.seek(0)
        return code, output.read()


def copy_tree():
    """Brings the copy up to date. What is the same stays untouched, so that it is not built again."""
    names = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(names, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    wanted = {name for name in names if name and (ROOT / name).is_file()}
    for folder, _, files in os.walk(TREE):
        for path in (Path(folder, file) for file in files):
            if str(path.relative_to(TREE)) not in wanted:
                path.unlink()
    for name in sorted(wanted):
        source, copy = ROOT / name, TREE / name
        if copy.is_file() and copy.read_bytes() == source.read_bytes():
            continue
        is_new = not copy.exists()
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, copy)
        if not is_new:
            # Newer than what was built of the content before.
            os.utime(copy)
    if not (TREE / "target").is_symlink():
        # The tools that tests use.
        (TREE / "target").symlink_to(ROOT / "target")


def plant(fault):
    """Applies a patch to the copy. Returns why that can't be done, if so."""
    # The copy is no part of the repository, whose root the paths would be relative to.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(PLANTED)}
    applied = subprocess.run(["git", "apply", fault.path], cwd=TREE, env=environment, capture_output=True, text=True, check=False)
    return applied.stderr if applied.returncode else None


def planted_cargo(fault, *arguments):
    command = [*CARGO, *PROFILE, *fault.target, *arguments]
    # Incremental, since a fault is a few lines.
    environment = {
        "CARGO_BUILD_BUILD_DIR": str(ROOT / "target"), "CARGO_TARGET_DIR": str(PLANTED / "built"), "CARGO_INCREMENTAL": "1",
        **fault.environment,
    }
    return command, TREE, environment


def test(command, folder, environment, seed, images):
    """Runs the test of a fault. Returns its exit code and what it printed."""
    # What a test that fails leaves behind goes with this.
    with tempfile.TemporaryDirectory(prefix="untag-planted-", ignore_cleanup_errors=True) as temporary:
        # PostgreSQL has a user of its own.
        os.chmod(temporary, 0o755)
        seeds = {name: str(seed) for name in SEEDS}
        environment = {**os.environ, IMAGES: str(images), **seeds, **environment, "TMPDIR": temporary}
        return run(command, TEST_TIMEOUT, cwd=folder, env=environment)


def passes_without(fault, options):
    """Whether the test passes where no fault is planted. Else nothing is shown by its failure."""
    command = [*CARGO, *fault.target]
    code, output = run([*command, "--no-run"], BUILD_TIMEOUT, cwd=ROOT, env={**os.environ, **fault.environment})
    if code == 0:
        code, output = test([*command, "--", "--exact", fault.test], ROOT, fault.environment, options.seed, options.images)
    if code == 0 and "test result: ok. 1 passed" in output:
        return True
    print(output[-5000:])
    say(f"{fault.test} does not pass without a fault")
    return False


def judge(fault, code, output):
    """What a run of the test says of the fault."""
    failures = re.findall(r"^failures:\n((?:    \S+\n)+)", output, re.M)
    if code is None:
        return FAILED, f"no end within {TEST_TIMEOUT} s"
    if code == 0:
        return NOT_CAUGHT, "the test passes"
    if not failures or failures[-1].split() != [fault.test]:
        return FAILED, "the test has not come to its end"
    if not any(text in output for text in fault.says):
        return NOT_CAUGHT, f"the test fails, and says none of {fault.says}"
    return CAUGHT, ""


def try_fault(fault, options):
    """Builds a fault and runs its test. Returns the verdict, after how much it was caught, and by which seed."""
    problem = plant(fault)
    if problem:
        return FAILED, f"the patch does not apply: {problem.strip()}", ""
    command, folder, environment = planted_cargo(fault, "--no-run")
    begun = time.monotonic()
    code, output = run(command, BUILD_TIMEOUT, cwd=folder, env={**os.environ, **environment})
    if code != 0:
        print(output[-5000:])
        return FAILED, "it does not compile" if code else "no end of the build", ""
    say(f"{fault.name} is built in {time.monotonic() - begun:.0f} s")
    command, folder, environment = planted_cargo(fault, "--", "--exact", fault.test)
    for seed in range(options.seed, options.seed + TRIES):
        begun = time.monotonic()
        code, output = test(command, folder, environment, seed, options.images)
        seconds = time.monotonic() - begun
        verdict, why = judge(fault, code, output)
        if verdict == CAUGHT:
            image = re.search(r"image (\d+) at moment", output)
            schedule = re.search(r"^schedule (\d+) has failed", output, re.M)
            after = f"{int(image[1]) + 1} images, {seconds:.0f} s" if image else f"{seconds:.0f} s"
            after = f"{schedule[1]} schedules, {seconds:.0f} s" if schedule else after
            return verdict, after, str(seed) if schedule or "_SEED sets it)" in output else "none"
        say(f"{fault.name} with seed {seed}: {why}, after {seconds:.0f} s")
        if options.verbose or code != 0:
            print(output[-5000:])
    return verdict, why, ""


def choose(faults, options):
    """The faults that are asked for."""
    if options.two:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
        # Those of the next commit are others, most likely.
        order = sorted(faults, key=lambda fault: hashlib.sha256(f"{head} {fault.name}".encode()).digest())
        say(f"of {len(faults)} faults, commit {head[:12]} chooses {order[0].name} and {order[1].name}")
        return order[:2]
    if not options.names:
        return faults
    unknown = set(options.names) - {fault.name for fault in faults}
    if unknown:
        sys.exit(f"there is no fault {', '.join(sorted(unknown))}; there are {', '.join(fault.name for fault in faults)}")
    return [fault for fault in faults if fault.name in options.names]


def main():
    parser = argparse.ArgumentParser(prog="scripts/prove planted", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a fault; all unless told")
    parser.add_argument("--two", action="store_true", help="two faults, others for each commit")
    parser.add_argument("--tested", action="store_true", help="all tests have just passed: none runs without its fault first")
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default: 1)")
    parser.add_argument("--images", type=int, default=300, help="images of lost power for all tests together (default: 300)")
    parser.add_argument("--verbose", action="store_true", help="print what a test says that passes")
    options = parser.parse_args()
    faults = choose([Fault(path) for path in sorted(PATCHES.glob("*.patch"))], options)
    passing, rows = {}, []
    for fault in faults:
        key = (*fault.target, fault.test)
        if key not in passing:
            passing[key] = options.tested or passes_without(fault, options)
        if passing[key]:
            copy_tree()
            row = try_fault(fault, options)
        else:
            row = (FAILED, "its test does not pass without it", "")
        say(f"{fault.name}: {row[0]}")
        rows.append((fault, *row))
    copy_tree()
    print("\n| fault | caught by | after | seed |\n| --- | --- | --- | --- |")
    for fault, verdict, after, seed in rows:
        test_name = fault.test.rsplit("::", 1)[-1]
        print(f"| {fault.name} | `{test_name}` | {after} | {seed} |" if verdict == CAUGHT else f"| {fault.name} | {verdict}: {after} | | |")
    if any(verdict != CAUGHT for _, verdict, _, _ in rows):
        sys.exit(1)
    say(f"all {len(rows)} faults are caught")


if __name__ == "__main__":
    main()
