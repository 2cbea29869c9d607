"""What options of the data are refused, and how a command line shows them."""

from dataclasses import FrozenInstanceError, fields

import pytest
from jsonargparse import ArgumentParser, set_parsing_settings

from stylegan2.data import DataOptions, ImageData
from stylegan2.errors import InputError


@pytest.mark.parametrize("resolution", [0, 2, 48, 2048])
def test_an_impossible_resolution_is_refused(resolution):
    with pytest.raises(InputError, match=f"found {resolution}"):
        DataOptions("demo", resolution)


def test_an_impossible_number_of_channels_is_refused():
    with pytest.raises(InputError, match="channels, found 2"):
        DataOptions("demo", 32, channels=2)


@pytest.mark.parametrize("field, value", [("workers", -1), ("cache_gb", float("nan")), ("max_pixels", 0)])
def test_an_impossible_number_is_refused(field, value):
    with pytest.raises(InputError, match=f"data.{field} of . or more, found {value}"):
        DataOptions("demo", **{field: value})


@pytest.mark.parametrize(
    "field, value, near", [("classes", "folder", "folders"), ("unreadable", "skipp", "skip")]
)
def test_a_misspelled_choice_is_refused_with_the_nearest_one(field, value, near):
    with pytest.raises(InputError, match=f"{field}.*found '{value}'. Did you mean {near}?"):
        DataOptions("demo", **{field: value})


def test_options_do_not_change_once_they_are_made():
    with pytest.raises(FrozenInstanceError):
        ImageData("demo").resolution = 64


@pytest.mark.parametrize("kind", [DataOptions, ImageData])
def test_a_command_line_shows_and_parses_every_option(kind):
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "data", instantiate=False)
    text = " ".join(parser.format_help().split())
    for field in fields(DataOptions):
        assert f"--data.{field.name}" in text
    for words in ("Folder or zip of images", "one per CPU, up to 8", "10^9 bytes"):
        assert words in text
    parsed = parser.parse_args(["--data.path", "photos", "--data.classes", "folders"])
    assert kind(**vars(parsed.data)) == kind("photos", classes="folders")
