# The daily commands; each calls the script that CI calls.

_default:
    @just --list

# Build the service.
build:
    cargo build --release --locked

# Run the tests, or those with a name: just test grpcurl
test *arguments:
    scripts/test {{ arguments }}

# Check code, scripts and contract.
lint:
    scripts/lint

# Run everything that CI runs.
ci:
    .ci/run

# Show the service at work.
quickstart:
    scripts/quickstart

# Build the container image.
image *arguments:
    scripts/image {{ arguments }}

# Build the Debian package.
package *arguments:
    scripts/package {{ arguments }}

# Make the files of a release.
release:
    scripts/release

# Measure the throughput: just bench --quick
bench *arguments:
    cargo bench --locked --bench throughput -- {{ arguments }}

# Draw the plot of docs/performance.md from the JSON of a run.
plot json="target/throughput.json":
    cargo bench --locked --bench throughput -- --draw {{ json }}

# Measure parsing and policies by themselves.
bench-small *arguments:
    cargo bench --locked --bench parse --bench policy -- {{ arguments }}

# Kill the service under load and check what it promised.
crash-test *arguments:
    scripts/test crash {{ arguments }}

# Feed the parsers broken input for 30 seconds, or as many: just fuzz 300
fuzz *arguments:
    scripts/fuzz {{ arguments }}

# Make the current contract the one that changes may not break.
publish-contract:
    scripts/publish-contract
