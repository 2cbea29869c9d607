"""A parser of command lines and YAML files that says what a mistyped or foreign option may stand for."""

from __future__ import annotations

import argparse
import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from stylegan2.files import Quoting, yaml_text
from stylegan2.yaml_files import read_yaml, restored

HELP, PRINT = {"-h", "--help"}, "--print_config"
NEGATIVE = re.compile(r"-[\d.]")


class Parser(ArgumentParser):
    """Options that are explained by the docstrings of the fields that they set.

    Beside what jsonargparse does, a list may be written as `wandb`, `0,2` or `a b` instead of in brackets, and a
    switch without its `true`. `--help` and `--print_config` show what the configuration files give.
    """

    foreign: Mapping[str, Sequence[str]] = {}
    """Names that other programs have for options, with the options of this one that they may stand for."""

    aliases: Mapping[str, str] = {}
    """Short names of options, such as --augment, with the options that they stand for."""

    positional: str = ""
    """The option that a word of its own is most likely meant for."""

    upgrade: Callable[[dict[str, Any]], bool] = staticmethod(lambda options: False)
    """Translates the options of a file of an earlier version, in place. Returns whether it changed any."""

    resolve: Callable[[Namespace], list[str]] = staticmethod(lambda config: [])
    """Fills in the values that follow from others, in place. Returns the names of these options."""

    _file: str = ""
    """The file that is being read."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, allow_abbrev=False, **options)

    def parse_args(self, args: Sequence[str], *rest: Any, **options: Any) -> Namespace:  # type: ignore[override]
        """Parse a command line. It ends here, with status 0, if it asks for help or for the configuration.

        Raises:
            SystemExit: With status 2, after a message, for anything that is no option or no value of it.
            InputError: A configuration file cannot be read.
        """
        args = self._written_out(args)
        if HELP & set(args):
            self._explain(args)
        config = super().parse_args([arg for arg in args if arg != PRINT], *rest, **options)
        self._refuse_null(config)
        if PRINT in args:
            derived = self.resolve(config)
            if derived:
                print(
                    f"# These values follow from resolution and batch, where they are null: {', '.join(derived)}."
                )
            print(self.as_yaml(config), end="")
            self.exit()
        return config

    def as_yaml(self, config: Namespace) -> str:
        """Parsed options as YAML that this parser reads back as the same options."""
        return yaml_text(json.loads(self.dump(config, format="json", skip_unset=False)))

    def _explain(self, args: Sequence[str]) -> NoReturn:
        """Print the help, with what the configuration files give as defaults."""
        pairs = zip(args, [*args[1:], ""])
        files = [value for arg, value in pairs if arg == "--config"]
        files += [arg.partition("=")[2] for arg in args if arg.startswith("--config=")]
        if files:
            arguments = [part for file in files for part in ("--config", file)]
            config = super().parse_args(
                arguments, _skip_validation=True
            )  # options that are required may be missing
            self._refuse_null(config)
            self.resolve(config)
            for action in self._actions:
                if hasattr(action, "_typehint") and action.dest in config:
                    action.default = config[action.dest]
            self.description = f"{self.description} The defaults below are those of {', '.join(files)}."
        self.print_help()
        self.exit()

    def _refuse_null(self, config: Namespace) -> None:
        """Refuse null where the type has no such value, which jsonargparse does not."""
        for action in self._actions:
            hint = getattr(action, "_typehint", None)
            needs_value = hint is not None and action.default is not None and not _accepts_null(hint)
            if needs_value and config.get(action.dest, "") is None:
                self.error(f"--{action.dest} expects {_in_words(str(hint))}, found null.")

    def _written_out(self, args: Sequence[str]) -> list[str]:
        """The arguments, with lists in brackets and switches with their value."""
        hints = {
            option: action._typehint
            for action in self._actions
            for option in action.option_strings
            if hasattr(action, "_typehint")
        }
        written: list[str] = []
        names = [arg.partition("=") for arg in args]
        args = ["".join([self.aliases.get(name, name), *value]) for name, *value in names]
        args = _gathered(args, {name for name, hint in hints.items() if _is_list(hint)})
        for before, arg, after in zip(["", *args], args, [*args[1:], "--"]):
            name, equals, value = arg.partition("=")
            if equals and name in hints:
                arg = f"{name}={_bracketed(value, hints[name])}"
            elif before in hints:
                arg = _bracketed(arg, hints[before])
                if NEGATIVE.match(arg):  # argparse takes a value such as -1..1 for an option
                    written[-1] = f"{before}={arg}"
                    continue
            written.append(arg)
            if hints.get(arg) is bool and after.startswith("--"):
                written.append("true")
        return written

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Refuse, in plain words, with the nearest option or value."""
        told = any(
            hint in message for hint in ("Did you mean", "lists the options")
        )  # by a parser within this one
        text = _in_words(message) if told else self._explained(message)
        super().error(text if self._file in text else f"{self._file}: {text}", ex)

    def _explained(self, message: str) -> str:
        if found := re.match(r"unrecognized arguments: (?:-- )?(\S+)( \S+)?", message):
            name, equals, value = found[1].partition("=")
            value = f" {value}" if equals else found[2] or ""
            if name.startswith("-"):
                advice = self._did_you_mean(name, "" if value.startswith(" -") else value)
                return f"There is no option {name}.{advice}"
            advice = f" Did you mean --{self.positional} {name}?" if self.positional else ""
            return f"Expected options, which start with two dashes, found {name!r}.{advice}"
        if found := re.search(r"Unable to load config '(.*?)'", message):
            name = re.findall(r'Parser key "([\w.]+)"', message)[-1]
            advice = self._did_you_mean(name, f" {found[1]}")
            return f"--{name} expects a YAML file of several options, found {found[1]!r}.{advice}"
        if found := re.search(r"Group '([\w.]+)' does not accept option '([\w.]+)'", message):
            name = f"{found[1]}.{found[2]}"
            return f"There is no option {name}.{self._did_you_mean(name, dashes='')}"
        if found := re.search(r"Option '([\w.]+)' is not accepted", message):
            parent = re.match(r'Parser key "([\w.]+)"', message)
            name = f"{parent[1]}.{found[1]}" if parent else found[1]
            return f"There is no option {name}.{self._did_you_mean(name, dashes='')}"
        if found := re.search(r"Expected a <class 'list'>. Got value: (\w+)", message):
            return f"{_in_words(message)}. Write [{found[1]}]."
        if found := re.search(r"Literal\[(.*?)\]. Got value: (.*)", message):
            close = _nearest(found[2], re.findall(r"'(.*?)'", found[1]))
            return _in_words(message) + (f". Did you mean {close[0]}?" if close else ".")
        return _in_words(message)

    def _did_you_mean(self, name: str, value: str = "", dashes: str = "--") -> str:
        options = self.suggestions(name)
        if not options:
            return f" {self.prog} --help lists the options."
        return f" Did you mean {' or '.join(f'{dashes}{option}{value}' for option in options)}?"

    def suggestions(self, name: str) -> list[str]:
        """Up to three options that a name which is none may stand for, without their dashes."""
        name = name.strip("-").lower().replace("-", "_")
        options = self.options()
        ends: dict[str, list[str]] = {}
        for option in options:
            ends.setdefault(option.rsplit(".")[-1], []).append(option)
        found = [option for option in self.foreign.get(name, ()) if option in options]
        found = found or [option for option in options if option.endswith(f".{name}")]
        found = found or _nearest(name, options)
        for end in [] if found else _nearest(name.rsplit(".")[-1], list(ends)):
            found = ends[end]
        return found[:3]

    def options_of_text(self) -> set[str]:
        """The names of the options whose values are text, or null."""
        return {action.dest for action in self._actions if _is_text(getattr(action, "_typehint", None))}

    def options(self) -> list[str]:
        """The names of all options, those within a value of several fields too."""
        names = []
        for action in self._actions:
            if action.option_strings and not isinstance(action, argparse._HelpAction):
                names.append(
                    action.dest if hasattr(action, "_typehint") else action.option_strings[-1].strip("-")
                )
                for kind in filter(is_dataclass, _alternatives(getattr(action, "_typehint", None))):
                    names += [f"{action.dest}.{field.name}" for field in fields(kind)]
        return names


class ConfigFile(ActionConfigFile):
    """An option that names a YAML file of other options. It is read as UTF-8 on every platform."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        self.lay_over(parser, cfg, self.dest, values)

    @classmethod
    def lay_over(cls, parser: Parser, config: Namespace, dest: str, path: str) -> None:
        """Put the options of a file over those of a configuration.

        Raises:
            InputError: There is no such file, or it holds something else.
        """
        text, options = read_yaml(Path(path), parser.options_of_text())
        if parser.upgrade(options):
            text = yaml.dump(options, Dumper=Quoting)
        parser._file = path
        try:
            cls.apply_config(parser, config, dest, text)
            for name in parser.options_of_text() & set(config.keys()):
                if isinstance(value := config[name], str):
                    config[name] = restored(value)
        finally:
            parser._file = ""


def _alternatives(hint: Any) -> list[Any]:
    """A type's alternatives: `int | None` is int and None."""
    is_one = get_origin(hint) in (None, list, tuple, dict, Literal)
    return [hint] if is_one else list(get_args(hint))


def _accepts_null(hint: Any) -> bool:
    return any(h in (None, type(None), Any) for h in _alternatives(hint))


def _is_text(hint: Any) -> bool:
    kinds = [h for h in _alternatives(hint) if h not in (None, type(None))]
    words = [word for h in kinds if get_origin(h) is Literal for word in get_args(h)]
    return (
        bool(kinds)
        and all(h is str or get_origin(h) is Literal for h in kinds)
        and all(isinstance(word, str) for word in words)
    )


def _is_list(hint: Any) -> bool:
    return all(get_origin(h) is list for h in _alternatives(hint) if h not in (None, type(None)))


def _gathered(args: Sequence[str], lists: set[str]) -> list[str]:
    """The arguments, with several words behind an option of a list, such as files that a shell found, made one."""
    gathered: list[str] = []
    start = 0
    while start < len(args):
        gathered.append(args[start])
        start += 1
        if gathered[-1] in lists:
            end = next((i for i in range(start, len(args)) if args[i].startswith("--")), len(args))
            several = args[start:end]
            gathered += several if len(several) < 2 else [json.dumps(list(several))]
            start = end
    return gathered


def _bracketed(value: str, hint: Any) -> str:
    """A value with brackets around it if the type asks for a list and the value looks like its items."""
    kinds = [get_origin(h) for h in _alternatives(hint) if h not in (None, type(None))]
    several = [kind in (list, tuple) for kind in kinds]
    if not any(several) or value in ("", "null") or value[0] in "[{(":
        return value
    return f"[{value}]" if all(several) or "," in value else value


def _nearest(name: str, names: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(name, names, n=1, cutoff=0.6)


def _in_words(message: str) -> str:
    """A message of the parser without Python's notation of types."""
    message = re.sub(r"<class '(?:[\w.]*\.)?(\w+)'>", r"\1", message)
    message = re.sub(r"(?:typing\.)?Literal\[(.*?)\]", r"one of \1", message)
    message = re.sub(r'Parser key "([\w.]+)":?\s*', r"--\1: ", message).replace("NoneType", "null")
    message = re.sub(r"Problem with given class_path .*:\s+", "", message).replace("Expected a ", "Expected ")
    alternatives = (
        r"Does not validate against any of the Union subtypes.*Errors:\n(.*)\n\s*Given value type.*: (.*)"
    )
    if found := re.search(alternatives, message, re.S):
        errors = re.findall(r"- (.*)", found[1])
        told = [error for error in errors if "Did you mean" in error]
        either = " or ".join(errors).replace(" or Expected", " or") + f". Got value: {found[2]}"
        message = message[: found.start()] + (told[0] if told else either)
    return message
