"""Speed and memory of one part against what a user would pick instead, as ratios of one run.

Usage: python tools/benchmark.py NAME [options of that benchmark; --help lists them]
       python tools/benchmark.py all

Each benchmark is a module in tools/benchmarks with `main(argv)`; it alternates the candidates in
one run, prints medians and ratios, and with --json FILE writes them with the machine, the versions
and the command. `all` runs one after the other with its defaults, which takes long.
"""

import sys
from importlib import import_module
from pathlib import Path

BENCHMARKS = Path(__file__).parent / "benchmarks"


def names() -> list[str]:
    """Names of the benchmarks, those that have a `main`."""
    files = sorted(BENCHMARKS.glob("*.py"))
    return [f.stem for f in files if "def main(" in f.read_text(encoding="utf-8")]


def main(argv: list[str]) -> None:
    """Run one benchmark, or all of them with their defaults."""
    known = names()
    if not argv or argv[0] in {"-h", "--help"}:
        print(__doc__ + "\nBenchmarks: " + ", ".join(known))
        return
    chosen, options = argv[0], argv[1:]
    if chosen != "all" and chosen not in known:
        raise SystemExit(f"Unknown benchmark {chosen!r}. Known: {', '.join(known)}, all.")
    if chosen == "all" and options:
        raise SystemExit(
            f"`all` takes no options, got {' '.join(options)}: each benchmark has its own. Give "
            "them to one benchmark by its name."
        )
    for name in known if chosen == "all" else [chosen]:
        print(f"== {name}")
        import_module(f"benchmarks.{name}").main(options)


if __name__ == "__main__":
    main(sys.argv[1:])
