"""The commands that the README, the documentation and the configurations name work as they are written there."""

import re
import shlex
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from stylegan2.__main__ import COMMANDS, run
from stylegan2.cli import CONFIGS, make_function_parser, train_parser, with_default_config
from stylegan2.tools.ablate import make_ablate_parser
from stylegan2.tools.advise import make_advise_parser
from stylegan2.tools.augment import make_augment_parser
from stylegan2.tools.blackbox import make_audit_parser, make_probe_gan_parser, with_names_of
from stylegan2.tools.blend import make_blend_parser, with_files
from stylegan2.tools.convert import make_convert_parser, with_names
from stylegan2.tools.design import run_design
from stylegan2.tools.evaluate import make_evaluate_parser
from stylegan2.tools.probe import make_probe_parser
from stylegan2.tools.report import make_report_parser, with_runs

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PARSERS = {
    "train": train_parser,
    "ablate": make_ablate_parser,
    "advise": make_advise_parser,
    "augment": make_augment_parser,
    "evaluate": make_evaluate_parser,
    "probe": make_probe_parser,
    "probe-gan": make_probe_gan_parser,
    "audit": make_audit_parser,
}


def shell_lines(page: Path) -> list[str]:
    """The lines of a page's blocks that are meant for a terminal, with continued ones joined."""
    text = page.read_text(encoding="utf-8")
    blocks = [
        body
        for language, body in re.findall(r"^```(.*)\n((?:.*\n)*?)^```$", text, re.M)
        if language in ("", "bash")
    ]
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if re.match(r"(python|stylegan2|\.venv|source|pip|python3) ?", line)]


def our_commands(lines: list[str]) -> list[tuple[str, list[str]]]:
    """(name, arguments) of our own commands among lines for a terminal."""
    found = []
    for line in lines:
        words = shlex.split(line)
        if words[0] == "stylegan2" and words[1:]:
            found.append((words[1], words[2:]))
        elif words[0].endswith("python") and words[1:] and words[1] in ("train.py", "generate.py"):
            found.append((words[1].removesuffix(".py"), words[2:]))
    return found


def header_lines(path: Path) -> list[str]:
    return re.findall(r"^#   (python train\.py.*)$", path.read_text(encoding="utf-8"), re.M)


LINES = {page.name: shell_lines(page) for page in PAGES}
LINES |= {path.stem: header_lines(path) for path in sorted(CONFIGS.rglob("*.yaml"))}


@pytest.mark.parametrize("place", [place for place, lines in LINES.items() if our_commands(lines)])
def test_every_command_is_one_that_its_parser_takes(place, monkeypatch):
    monkeypatch.chdir(ROOT)
    for name, args in our_commands(LINES[place]):
        args = [
            str(CONFIGS / "demo.yaml") if before == "--config" and not Path(arg).exists() else arg
            for before, arg in zip(["", *args], args)
        ]  # a configuration of the reader's own, or of a run
        module, function, _ = COMMANDS[name]
        if name == "convert":
            parser, args = make_convert_parser(), with_names(args)
        elif name == "report":
            parser, args = make_report_parser(), with_runs(args)
        elif name == "blend":
            parser, args = make_blend_parser(), with_files(args)
        elif name == "ablate" and "--design" in args:
            parser = make_function_parser(run_design, name)
        elif name in PARSERS:
            parser = PARSERS[name]()
            if name in ("probe-gan", "audit"):
                args = with_names_of(
                    args, ["generator", "discriminator"] if name == "probe-gan" else ["step"]
                )
            elif name not in ("advise", "evaluate"):
                args = with_default_config(args)
        else:
            parser = make_function_parser(getattr(import_module(f"stylegan2.{module}"), function), name)
        parser.exit_on_error = False
        parser.parse_args(args)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_has_a_comment_behind_it(page):
    """The shell of macOS takes a comment in a line that is typed for arguments."""
    assert [line for line in LINES[page.name] if "#" in line] == []


def test_the_readme_starts_with_two_lines_and_activates_the_environment_before_all_others():
    first, second, activate, *others = LINES["README.md"]
    assert first.startswith(
        "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/python train.py"
    )
    assert second.startswith("python3 -m venv .venv && ") and second.endswith(" -m pytest")
    assert activate == "source .venv/bin/activate"
    assert not [line for line in others if ".venv" in line or line.startswith(("pip", "python3"))]


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    networks = "--model.generator.channel_base 64 --model.discriminator.channel_base 64"
    args = f"--data.resolution 8 --batch 8 --kimg 0.008 --accelerator cpu {networks}"
    assert run("train", shlex.split(args), "train.py") == 0
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for code in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S):
        exec(code.replace("resolution=256, channel_base=16384", "resolution=32, channel_base=256"), {})


PER = r"\b(?:\d+ ?%?|row|file|images?|s|ms) an? (?:block|iteration|kimg|layer|run|second|seed)\b"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_rates_are_written_with_per(page):
    assert re.findall(PER, page.read_text(encoding="utf-8")) == []


def test_results_land_in_folders_that_git_ignores():
    folders = {"runs", "out", "wandb"}
    for lines in LINES.values():
        for _, args in our_commands(lines):
            folders |= {after.partition("/")[0] for arg, after in zip(args, args[1:]) if arg == "--out"}
    defaults = (make_ablate_parser(), train_parser())
    folders |= {parser.get_default(option) for parser, option in zip(defaults, ("out", "runs"))}
    if not (ROOT / ".git").exists():
        pytest.skip("not in a clone")
    inside = [f"{folder}/x.png" if "." not in folder else folder for folder in sorted(folders)]
    ignored = subprocess.run(
        ["git", "check-ignore", *inside], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    assert ignored.stdout.split() == inside
