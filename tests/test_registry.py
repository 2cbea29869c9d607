"""A registry imports its package at the first look, refuses what is none of its names, and takes new ones."""

from dataclasses import dataclass
from typing import Literal

import pytest

from stylegan2.errors import InputError
from stylegan2.registry import Registry, check_choices
from stylegan2.training.losses import AdversarialLoss, losses


def test_the_modules_of_the_package_are_imported_at_the_first_look():
    registry = Registry("loss", "stylegan2.training.losses")
    assert list(registry) == []  # its modules have registered with the package's own already
    assert {"logistic", "hinge"} <= set(losses)
    assert isinstance(losses["hinge"], AdversarialLoss)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="hinge.*found 'hinges'. Did you mean hinge?"):
        losses["hinges"]


def test_a_name_is_given_once():
    registry = Registry("thing")
    registry.register("a")(1)
    with pytest.raises(ValueError, match="already"):
        registry.register("a")(2)
    assert registry["a"] == 1 and "b" not in registry and len(registry) == 1


@dataclass
class Options:
    color: Literal["red", "green"] = "red"
    bound: Literal["auto"] | float | None = None
    name: str = "anything"


@pytest.mark.parametrize("good", [{}, {"bound": 2.0}, {"bound": "auto"}, {"color": "green", "name": "x"}])
def test_choices_out_of_a_literal_pass(good):
    check_choices(Options(**good))


@pytest.mark.parametrize(
    "bad,words", [({"color": "gren"}, "Did you mean green"), ({"bound": "aut"}, "auto, a number")]
)
def test_other_choices_are_refused_by_field(bad, words):
    with pytest.raises(InputError, match=words):
        check_choices(Options(**bad))
