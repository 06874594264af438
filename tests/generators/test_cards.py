"""Cards: whatever is wrong with one is said with file and field, before anything runs."""

import hashlib
import json
from pathlib import Path

import pytest

from ebabench.errors import InputError
from ebabench.generators.build import build
from ebabench.generators.cards import CARDS, load_card, read_card
from ebabench.generators.protocol import Resources

CARD = """
name = "mine"
title = "Mine"
family = "baseline"
paper = "none"
licence = "MIT"
entry = "ebabench.models.static:build"

[training]
data = "nothing"
overlap = "not_trained"
evidence = "no parameters"

[sampling]
amplitude = 0.1
"""
WEIGHTS = b"weights"
CHECKPOINT = f"""
[[checkpoints]]
name = "main"
file = "mine.bin"
size = {len(WEIGHTS)}
sha256 = "{hashlib.sha256(WEIGHTS).hexdigest()}"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_a_card_is_read_as_it_stands(tmp_path: Path) -> None:
    card = read_card(written(tmp_path, CARD + CHECKPOINT))
    assert card.training.overlap == "not_trained"
    assert card.sampling == {"amplitude": 0.1}
    assert card.environment.kind == "in-process"
    assert card.checkpoints[0].size == len(WEIGHTS)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("licence", "license"), "licence"),
        (('title = "Mine"', 'title = ""'), "title"),
        (('"not_trained"', '"none"'), "training.overlap"),
        (('evidence = "no parameters"', ""), "training.evidence"),
        (("static:build", "static.build"), "entry"),
        (("amplitude = 0.1", "amplitude = [1]"), "sampling.amplitude"),
        (('name = "mine"', 'name = "Mine!"'), "name"),
        (('name = "mine"', 'name = "yours"'), "name"),
        (("size = 7", "size = 0"), "checkpoints.0.size"),
        (('file = "mine.bin"', ""), "checkpoints.0"),
        (('file = "mine.bin"', 'file = "mine.bin"\nurl = "https://example.org"'), "checkpoints.0"),
        (('sha256 = "', 'sha256 = "no'), "checkpoints.0.sha256"),
    ],
)
def test_a_card_that_breaks_the_schema_names_file_and_field(
    tmp_path: Path, change: tuple[str, str], field: str
) -> None:
    whole = CARD + CHECKPOINT
    assert change[0] in whole
    with pytest.raises(InputError) as caught:
        read_card(written(tmp_path, whole.replace(*change, 1)))
    assert str(caught.value).startswith(f"{tmp_path / 'mine.toml'}: {field}")
    assert "\n" not in str(caught.value)


def test_a_card_that_is_not_toml_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mine\.toml is not TOML: .*line 1"):
        read_card(written(tmp_path, "name: mine"))
    with pytest.raises(InputError, match=r"nowhere\.toml: No such file"):
        load_card(str(tmp_path / "nowhere.toml"))


def test_a_checkpoint_is_given_only_if_it_is_the_one_on_the_card(tmp_path: Path) -> None:
    card = read_card(written(tmp_path, CARD + CHECKPOINT))
    with pytest.raises(InputError) as missing:
        card.checkpoint("main")
    assert (missing.value.code, missing.value.named) == ("checkpoint.unreadable", {"file": tmp_path / "mine.bin"})
    (tmp_path / "mine.bin").write_bytes(WEIGHTS)
    assert card.checkpoint("main").read_bytes() == WEIGHTS
    (tmp_path / "mine.bin").write_bytes(WEIGHTS[::-1])
    with pytest.raises(InputError) as altered:
        card.checkpoint("main")
    assert (altered.value.code, altered.value.named) == ("checkpoint.altered", {"file": tmp_path / "mine.bin"})
    with pytest.raises(InputError, match=r"no checkpoint 'other'; the card has .*main"):
        card.checkpoint("other")


def test_a_checkpoint_elsewhere_says_where(tmp_path: Path) -> None:
    text = CARD + CHECKPOINT.replace('file = "mine.bin"', 'url = "https://example.org/w"')
    with pytest.raises(InputError, match=r"https://example\.org/w") as elsewhere:
        read_card(written(tmp_path, text)).checkpoint("main")
    assert (elsewhere.value.code, elsewhere.value.named["checkpoint"]) == ("checkpoint.missing", "main")


def test_every_shipped_checkpoint_is_the_one_on_its_card() -> None:
    shipped = [(card, one) for card in map(CARDS.load, CARDS) for one in card.checkpoints if one.file is not None]
    for card, checkpoint in shipped:
        assert card.checkpoint(checkpoint.name).stat().st_size == checkpoint.size


def of_kind(kind: str, code: str, environment: str = "") -> str:
    """The card with the code of another kind."""
    return (
        CARD.replace('entry = "ebabench.models.static:build"', code) + f'[environment]\nkind = "{kind}"\n{environment}'
    )


SOURCE = f"""
repository = "https://example.org/code"
commit = "{"0a" * 20}"
command = "python sample.py --all"
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (of_kind("worker", ""), "a model of the kind worker needs script"),
        (of_kind("worker", 'entry = "a:b"\nscript = "a.py"'), "a model of the kind worker has no entry"),
        (of_kind("in-process", 'script = "a.py"'), "needs entry"),
        (of_kind("ensembles", "", SOURCE), "needs converter"),
        (of_kind("ensembles", 'converter = "a:b"', SOURCE.replace("0a", "0", 1)), "environment.commit"),
        (of_kind("ensembles", 'converter = "a:b"'), "ensembles need repository, commit and command"),
        (of_kind("worker", 'script = "a.py"', SOURCE), "command is for ensembles"),
        (of_kind("worker", 'script = "a.py"', "timeout = 0"), "environment.timeout"),
        (of_kind("worker", 'script = "a.py"', 'python = "3"'), "environment.python"),
        (of_kind("in-process", 'entry = "a:b"', 'python = "3.11"'), "are of a worker"),
        (CARD + "batch_size = 0", "sampling.batch_size"),
        (CARD.replace("name =", 'provides = "side chains"\nname =', 1), "provides"),
    ],
)
def test_a_card_has_what_its_kind_needs(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_card(written(tmp_path, text))


def test_ensembles_are_made_by_their_user(tmp_path: Path) -> None:
    card = read_card(written(tmp_path, of_kind("ensembles", 'converter = "a:b"', SOURCE)))
    with pytest.raises(InputError) as refused:
        build(card, Resources("cpu", lambda name: None))
    assert (refused.value.code, refused.value.named) == ("model.run_by_user", {"model": "mine"})


def family(folder: Path, text: str) -> Path:
    path = folder / "families" / "all.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_card_extends_what_its_family_shares(tmp_path: Path) -> None:
    own = 'extends = "families/all.toml"\nname = "mine"\n[training]\ndata = "other data"\n[sampling]\namplitude = 0.2\n'
    whole = CARD.replace("amplitude = 0.1", "amplitude = 0.2").replace('data = "nothing"', 'data = "other data"')
    family(tmp_path, CARD.replace('name = "mine"\n', ""))
    extended = read_card(written(tmp_path, own))
    assert extended.facts() == read_card(written(tmp_path, whole)).facts()  # it is the same card, written shorter


@pytest.mark.parametrize(
    ("shared", "own", "code", "named"),
    [
        (CARD.replace("licence", "license"), "", "card.schema", "mine.toml: licence"),
        (CARD, 'colour = "green"\n', "card.schema", "mine.toml: colour"),
        (CARD, "", "card.schema", ""),
        ('extends = "others.toml"\n', "", "card.extends", "mine.toml: extends"),
        ("title: x", "", "card.toml", "all.toml"),
        (None, "", "card.file", "all.toml"),
    ],
)
def test_an_extended_card_is_as_strict(tmp_path: Path, shared: str | None, own: str, code: str, named: str) -> None:
    if shared is not None:
        family(tmp_path, shared)
    name = 'name = "yours"\n' if not named else 'name = "mine"\n'
    with pytest.raises(InputError) as caught:
        read_card(written(tmp_path, f'extends = "families/all.toml"\n{name}{own}'))
    assert caught.value.code == code
    assert named in str(caught.value)


def test_a_card_in_the_current_folder_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, CARD)
    monkeypatch.chdir(tmp_path)
    assert load_card("mine").path == tmp_path / "mine.toml"
    (tmp_path / "static.toml").write_text("nothing")  # a registered model has its name for itself
    assert load_card("static").path != tmp_path / "static.toml"
    (tmp_path / "models").mkdir()
    (tmp_path / "mine.toml").rename(tmp_path / "models" / "mine.toml")
    assert load_card("mine").path == tmp_path / "models" / "mine.toml"
    with pytest.raises(InputError) as caught:
        load_card("nobody")
    assert caught.value.code == "unknown.model"


@pytest.mark.parametrize("more", ['python = "3.11"', 'requirements = ["torch==2.0"]', 'no_deps = ["torch==2.0"]'])
def test_an_interpreter_stands_in_place_of_an_installation(tmp_path: Path, more: str) -> None:
    of_worker = of_kind("worker", 'script = "a.py"', f'interpreter = "/usr/bin/python3"\n{more}')
    of_ensembles = of_kind("ensembles", 'converter = "a:b"', f'{SOURCE}\ninterpreter = "/usr/bin/python3"\n')
    for text in (of_worker, of_ensembles):
        with pytest.raises(InputError) as caught:
            read_card(written(tmp_path, text))
        assert caught.value.code == "card.schema"
        assert "interpreter" in str(caught.value)


def test_a_batch_size_that_changes_samples_is_a_setting(tmp_path: Path) -> None:
    plain = read_card(written(tmp_path, CARD))
    assert plain.with_batch_size(7).facts() == plain.facts()
    own = read_card(written(tmp_path, CARD.replace("amplitude = 0.1", "batch_size = 4")))
    assert own.with_batch_size(4).facts() == own.with_batch_size(None).facts() == own.facts()
    other = own.with_batch_size(7)
    assert other.facts()["changed"] == ["batch_size"]
    assert other.sampling["batch_size"] == 7


@pytest.mark.parametrize("name", [".", "..", "a/b", "../b", "", " ", "a\nb"])
def test_a_checkpoint_has_a_name_that_is_safe_as_a_path(tmp_path: Path, name: str) -> None:
    url = f'[[checkpoints]]\nname = {json.dumps(name)}\nurl = "https://x.org/w.pt"\n'
    with pytest.raises(InputError) as raised:
        read_card(written(tmp_path, CARD + url))
    assert "checkpoints.0.name" in str(raised.value)


@pytest.mark.parametrize("path", ["../other.bin", "/etc/passwd", "a/../../b", "..", "a/./../../b"])
def test_files_of_a_card_stay_in_its_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError) as raised:
        read_card(written(tmp_path, CARD + CHECKPOINT.replace("mine.bin", path)))
    assert "checkpoints.0.file" in str(raised.value)
    worker = CARD.replace('entry = "ebabench.models.static:build"', f'script = "{path}"')
    with pytest.raises(InputError) as raised:
        read_card(written(tmp_path, worker + '[environment]\nkind = "worker"\n'))
    assert "script" in str(raised.value)


@pytest.mark.parametrize(
    "address", ["https://x.org/%2e%2e", "https://x.org/..", "https://x.org/a%2F..%2F..", "https://x.org/"]
)
def test_the_last_part_of_an_address_leads_nowhere_else(tmp_path: Path, address: str) -> None:
    card = read_card(written(tmp_path, CARD + f'[[checkpoints]]\nname = "main"\nurl = "{address}"\n'))
    (one,) = card.checkpoints
    place = card.files.place(one)
    assert place.name == "main"
    assert place.resolve() == place.absolute()
