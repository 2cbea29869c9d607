"""`python -m tests.reliability [FAMILY ...]`: tries cases, prints how many held, and ends with 1 if any did not."""

from __future__ import annotations

import argparse
import os
import sys

from stylegan2.files import markdown_table, text_table

from . import FAMILIES, load
from .runner import Family, Tally, run


def table(family: Family, tallies: dict[str, Tally], markdown: bool) -> str:
    """How many cases of each kind were tried and held, and how."""
    head = [family.tried, "tried", "held", "how"]
    rows = [
        [
            name,
            str(tally.tried),
            str(tally.held),
            ", ".join(f"{count} {how}" for how, count in tally.how.most_common()),
        ]
        for name, tally in tallies.items()
    ]
    total = [str(sum(getattr(tally, what) for tally in tallies.values())) for what in ("tried", "held")]
    return (markdown_table if markdown else text_table)(head, [*rows, ["all", *total, ""]])


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m tests.reliability", description=__doc__)
    parser.add_argument(
        "families", nargs="*", metavar="FAMILY", help=f"{', '.join(FAMILIES)}. Without any, all are tried."
    )
    parser.add_argument("--count", type=int, help="number of cases of each family; by default its own")
    parser.add_argument("--seed", type=int, default=0, help="number of the first case")
    parser.add_argument("--markdown", action="store_true", help="print tables in Markdown")
    options = parser.parse_args(args)
    if unknown := set(options.families) - set(FAMILIES):
        parser.error(f"expected families out of {', '.join(FAMILIES)}, found {', '.join(sorted(unknown))}")
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that cases start
    failed = False
    for name in options.families or FAMILIES:
        family = load(name)
        count = family.count if options.count is None else options.count
        tallies = run(family, range(options.seed, options.seed + count))
        again = f"python -m tests.reliability {name} --seed {options.seed} --count {count}"
        holds = f"A case holds if {family.holds}."
        head = f"## {name}\n\n{holds}\n\n```\n{again}\n```\n" if options.markdown else f"\n{name}: {holds}\n"
        print(f"{head}\n{table(family, tallies, options.markdown)}\n")
        for kind, tally in tallies.items():
            for number, why in tally.failures.items():
                failed = True
                print(
                    f"failed: {kind}: {why}\n  python -m tests.reliability {name} --seed {number} --count 1"
                )
        print(flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
