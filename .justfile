# The habits of this project; `just` lists them.

_default:
    @just --list --justfile {{ justfile() }}

# Formatting, lints and whether everything compiles: what to run before a commit.
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings

# Every test, or those whose name contains a word.
test *words:
    cargo test {{ words }}

# What the pipeline runs.
ci:
    .ci/run

# Writes the generated pages of docs/ anew and checks the examples and links of all.
docs:
    ENVO_WRITE_DOCS=1 cargo test --test compat docs

# The measurements of docs/benchmarks.md.
bench: release
    python3 compat-tests/bench/measure_services.py --bin target/release/envo
    python3 compat-tests/bench/locks_beside_peers.py
    python3 compat-tests/bench/languages_beside_tools.py

# The optimised program, at target/release/envo.
release:
    cargo build --release
