"""Measure speed and memory of one part against its common alternative, as ratios of one run.

    {prog} NAME [options of that benchmark; --help lists them]
    {prog} all

Each benchmark alternates the candidates in one run and prints medians and ratios. `--json FILE`
writes them with the machine, the versions and the command. `all` runs every benchmark with its
defaults, which takes long.

Benchmarks: {names}
"""

from importlib import import_module
from pathlib import Path

BENCHMARKS = Path(__file__).parent / "benchmarks"


def names() -> list[str]:
    """Return the names of the benchmarks: the modules that define a `main`."""
    files = sorted(BENCHMARKS.glob("*.py"))
    return [f.stem for f in files if "def main(" in f.read_text(encoding="utf-8")]


def main(arguments: list[str], prog: str = "gesture-pretrain benchmark") -> None:
    """Run one benchmark, or all of them with their defaults.

    Raises:
        ValueError: An unknown benchmark, or options for `all`.
    """
    known = names()
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(__doc__.format(prog=prog, names=", ".join(known)))
        return
    chosen, options = arguments[0], arguments[1:]
    if chosen != "all" and chosen not in known:
        raise ValueError(f"Unknown benchmark {chosen!r}. Known: {', '.join(known)}, all.")
    if chosen == "all" and options:
        raise ValueError(
            f"`all` takes no options, got {' '.join(options)}. Give them to one benchmark by name."
        )
    for name in known if chosen == "all" else [chosen]:
        print(f"== {name}")
        import_module(f"gesture_pretrain.commands.benchmarks.{name}").main(options)
