"""JSON as others write it: what is no JSON to everybody is refused."""

import pytest

from ebabench.system.schema import parse_json


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '[{"b": {"a": 1, "c": 2, "a": 1}}]', '{"a": NaN}', "[" * 100_000])
def test_what_two_programs_may_read_differently_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"twice|NaN|deeply"):
        parse_json(text)


def test_one_name_in_two_objects_is_fine() -> None:
    assert parse_json('{"a": {"a": 1}, "b": [{"a": 2}, {"a": 3}]}') == {"a": {"a": 1}, "b": [{"a": 2}, {"a": 3}]}
