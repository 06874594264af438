"""The documented import paths of version 0.1 still work, and say where their names are now."""

import importlib
import pkgutil

import pytest

import ebabench.deprecated
from ebabench.scoring.metric import Metric

MODULES = sorted(
    module.name.removeprefix("ebabench.deprecated.")
    for module in pkgutil.walk_packages(ebabench.deprecated.__path__, "ebabench.deprecated.")
    if not module.ispkg
)


@pytest.mark.parametrize("name", MODULES)
def test_every_old_name_is_found_at_its_new_place(name: str) -> None:
    old = importlib.import_module(f"ebabench.{name}")
    (find,) = [value for key, value in vars(old).items() if key == "__getattr__"]
    places = find.__closure__[1].cell_contents
    for attribute, place in places.items():
        with pytest.warns(DeprecationWarning, match=place):
            assert getattr(old, attribute) is getattr(importlib.import_module(place), attribute)


def test_the_old_path_of_a_metric() -> None:
    with pytest.warns(DeprecationWarning, match="scoring.metric"):
        from ebabench.contracts import Metric as Old
    assert Old is Metric


def test_a_name_that_never_was_is_an_attribute_error() -> None:
    with pytest.raises(ImportError):
        from ebabench.contracts import Nothing  # noqa: F401
