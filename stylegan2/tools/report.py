"""`stylegan2 report`: one page about a training run, or about several runs side by side."""

from __future__ import annotations

from pathlib import Path

from stylegan2.cli import make_function_parser
from stylegan2.errors import InputError
from stylegan2.files import printable
from stylegan2.parsing import Parser


def report_command(args: list[str], prog: str = "stylegan2 report") -> int:
    """The command `stylegan2 report RUN...`."""
    if not args:
        raise InputError("Expected the folder of a run, found none. Try: stylegan2 report runs/demo")
    report(**make_report_parser(prog).parse_args(with_runs(args)).as_dict())
    return 0


def make_report_parser(prog: str = "stylegan2 report") -> Parser:
    """The parser of `stylegan2 report`, whose folders are an option too."""
    parser = make_function_parser(report, prog)
    parser.usage = f"{prog} RUN... [options]"
    return parser


def with_runs(args: list[str]) -> list[str]:
    """The arguments with the option of the first folders written out."""
    return ["--runs", *args] if args and not args[0].startswith("-") else args


def report(runs: list[str], out: str | None = None) -> None:
    """Write one self-contained HTML page about training runs.

    It has the losses, penalties, metrics and the speed over thousands of images, ADA's p, a slider over the sample
    grids, the options, and when the run will be done. Training keeps report.html in its own folder up to date.

    Args:
        runs: Folders of runs, such as runs/demo. Several are shown side by side.
        out: The page to write. null: report.html in the folder of the run, or report.html here for several.

    Raises:
        InputError: A folder is not that of a run, or the page cannot be written.
    """
    from stylegan2.reporting import read_run, write_report  # takes long to import

    records = [read_run(folder) for folder in runs]
    folder = records[0].folder if len(records) == 1 else Path()
    path = Path(out).expanduser() if out else folder / "report.html"
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(
            f"--out expects a file in an existing folder, found {printable(str(path))}. Name another file."
        )
    try:
        write_report(path, records)
    except OSError as error:
        raise InputError(
            f"Writing {printable(str(path))} failed: {error.strerror or error}. Name another file with --out."
        ) from error
    print(f"Wrote {path}. Open it in a browser.")
