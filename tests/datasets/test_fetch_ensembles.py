"""Published ensembles: both layouts, whole, pinned, of the right protein, and scored into a measured row."""

import csv
import io
import json
import os
import re
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command import SUITE, Called, Tiny
from proteins import build, wobble
from server import Server, serving, zipped

import ebabench.system.download as module
from ebabench.datasets.published_ensembles import LOCK
from ebabench.io.layouts import find_sources, read_source
from ebabench.io.npz import write_ensemble
from ebabench.io.structure_files import write_pdb
from ebabench.structures import Ensemble

pytestmark = pytest.mark.slow

SEQUENCES = {"AGS": "AGS", "KDE": "KDE", "FAV": "FAV"}
SAMPLES = 12
CARD = """
name = "other"
title = "Somebody's model"
family = "other"
paper = "arXiv:0000.00000"
licence = "MIT"
entry = "nowhere:build"

[training]
data = "nothing"
overlap = "not_trained"
evidence = "none"

[[ensembles]]
suite = "tiny-v1"
url = "{url}"
"""


def ensemble(name: str, seed: int = 0) -> Ensemble:
    target = build(SEQUENCES[name])
    return Ensemble(name, target.atoms, wobble(target, SAMPLES, seed))


def pdb(one: Ensemble, folder: Path) -> bytes:
    write_pdb(one, folder / "one.pdb")
    return (folder / "one.pdb").read_bytes()


def npz(one: Ensemble, folder: Path) -> bytes:
    """As ``ebabench sample`` leaves it."""
    write_ensemble(one, folder / "one.npz")
    return (folder / "one.npz").read_bytes()


def cifs(one: Ensemble, folder: Path) -> dict[str, bytes]:
    """One mmCIF file a conformation, as Protenix leaves them."""
    import gemmi

    found = {}
    for k in range(len(one)):
        write_pdb(Ensemble(one.target, one.atoms, one.positions[k : k + 1]), folder / "frame.pdb")
        structure = gemmi.read_structure(str(folder / "frame.pdb"))
        structure.setup_entities()
        found[f"{one.target}_sample_{k}.cif"] = structure.make_mmcif_document().as_string().encode()
    return found


def tarred(files: dict[str, bytes], *, link: str | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        if link is not None:
            entry = tarfile.TarInfo("AGS.pdb")
            entry.type, entry.linkname = tarfile.SYMTYPE, link
            archive.addfile(entry)
    return out.getvalue()


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The same three ensembles as AlphaFlow's authors and as EBA's publish theirs, and in two ways more."""
    folder = tmp_path_factory.mktemp("made")
    pdbs = {f"samples/{name}.pdb": pdb(ensemble(name), folder) for name in SEQUENCES}
    trees = {
        f"artifacts/{name}/seed_42/predictions/{file}": data
        for name in SEQUENCES
        for file, data in cifs(ensemble(name), folder).items()
    }
    numbered = {
        f"run/{name.lower()}_{file.rpartition('_')[2]}": data
        for name in SEQUENCES
        for file, data in cifs(ensemble(name), folder).items()
    }
    own = {f"run/ensembles/{name}.npz": npz(ensemble(name), folder) for name in SEQUENCES} | {
        "run/records/AGS.json": b"{}",
        "run/AGS/features.npz": b"PK of others",
    }
    both = pdbs | {f"features/{name}.npz": own["run/ensembles/AGS.npz"] for name in SEQUENCES}
    deep = {name.replace("AGS/seed", "ags_0/seed"): data for name, data in trees.items()}
    junk = {
        "samples/readme.txt": os.urandom(300_000),
        "__MACOSX/samples/._AGS.pdb": b"\0",
        "samples/9zzz_A.pdb": b"other",
    }
    return {
        "/a.zip": zipped(pdbs | junk),
        "/b.tar.gz": tarred(trees | {"artifacts/AGS/AGS.json": b"{}"}),
        "/numbered": tarred(numbered),
        "/deep": zipped(deep),
        "/own.zip": zipped(own),
        "/own.tar.gz": tarred(own),
        "/both": zipped(both),
    }


@pytest.fixture
def server(archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "BACKOFF", 0.01)
    with serving() as state:
        state.files = dict(archives)
        yield state


def command(server: Server, path: str, more: str = "") -> list[str]:
    Path("tiny-v1.toml").write_text(SUITE.replace('energy = "amber99sbildn-obc"\n', ""))
    Path("other.toml").write_text(CARD.format(url=server.url + path) + more)
    return ["fetch", "ensembles", "other.toml", "--suite", "tiny-v1.toml", "--out", "got"]


@pytest.mark.parametrize("path", ["/a.zip", "/b.tar.gz", "/numbered", "/deep", "/own.zip", "/own.tar.gz", "/both"])
def test_all_layouts_become_the_same_ensembles(server: Server, called: Called, path: str) -> None:
    code, said, told = called(*command(server, path))
    assert (code, told) == (0, "")
    assert "other: MIT; arXiv:0000.00000" in said
    assert "ensembles of 3 of 3 targets are in got" in said
    assert "ebabench score --model other.toml --ensembles got" in said
    sources = find_sources("got", SEQUENCES).sources
    assert set(sources) == set(SEQUENCES)
    for name, source in sources.items():
        read, made = read_source(source, name), ensemble(name)
        assert read.atoms.digest() == made.atoms.digest()
        assert np.allclose(read.positions, made.positions, atol=1e-3)
    pinned = json.loads((Path("got") / LOCK).read_text())
    assert pinned["archive"]["size"] == len(server.files[path])
    server.asked.clear()
    assert called(*command(server, path))[0] == 0
    assert server.asked == []


def test_they_are_scored_into_a_measured_row(server: Server, called: Called, tiny: Tiny) -> None:
    """By the command that was printed, with what the card says, on a suite that names no energy protocol."""
    _, said, _ = called(*command(server, "/b.tar.gz"))
    scoring = said.splitlines()[-1].replace("DIR", str(tiny.data)).split()
    code, said, told = called(*scoring[1:], "--jobs", "1")
    assert code == 0, told
    assert "the leaderboard is runs/leaderboards/tiny-v1.csv" in said
    with Path("runs/leaderboards/tiny-v1.csv").open(newline="") as file:
        line = list(csv.DictReader(file))[-1]
    assert (line["model"], line["status"], line["targets"]) == ("other", "official", "3/3")
    assert line["overlap"] == "not_trained"
    assert float(line["rmsf"]) > 0
    assert line["energy_w1"] == ""
    assert "energy_w1: 3 of 3 (no energy protocol was named)" in line["undefined"]


def test_an_interrupted_download_goes_on(server: Server, called: Called) -> None:
    server.faults["/a.zip"] = [("cut", 250_000)] + [("cut", 0)] * (module.ATTEMPTS - 1)
    code, _, told = called(*command(server, "/a.zip"))
    assert (code, told.count("\n")) == (1, 1)
    assert "the same command goes on from it" in told
    assert not (Path("got") / LOCK).exists()
    server.asked.clear()
    assert called(*command(server, "/a.zip"))[0] == 0
    ((_, wanted),) = server.asked
    assert wanted is not None
    assert int(wanted.removeprefix("bytes=").removesuffix("-")) > 150_000


def spoiled(archives: dict[str, bytes], fault: str, folder: Path) -> bytes:
    good = {f"{name}.pdb": pdb(ensemble(name), folder) for name in SEQUENCES}
    return {
        "truncated zip": archives["/a.zip"][:-3000],
        "truncated tar": archives["/b.tar.gz"][:-3000],
        "zip traversal": zipped(good | {"x/../../evil.pdb": b"x"}),
        "tar traversal": tarred(good | {"../evil.pdb": b"x"}),
        "absolute tar": tarred(good | {"/evil.pdb": b"x"}),
        "link": tarred({name: data for name, data in good.items() if name != "AGS.pdb"}, link="/etc/passwd"),
        "other protein": zipped(good | {"AGS.pdb": good["KDE.pdb"]}),
        "no targets": zipped({"9zzz_A.pdb": good["KDE.pdb"]}),
        "garbage": zipped(good | {"AGS.pdb": b"hello"}),
    }[fault]


FAULTS = {
    "truncated zip": "damaged, or cut off",
    "truncated tar": "damaged, or cut off",
    "zip traversal": "leads out of it",
    "tar traversal": "leads out of it",
    "absolute tar": "leads out of it",
    "link": "has no ensemble of AGS",
    "other protein": "AGS: the model's sequence",
    "no targets": "holds no ensemble",
    "garbage": "AGS: .*",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_one_line(
    server: Server, archives: dict[str, bytes], called: Called, tmp_path: Path, fault: str
) -> None:
    server.files["/c"] = spoiled(archives, fault, tmp_path)
    code, _, told = called(*command(server, "/c"))
    assert (code, told.count("\n")) == (1, 1)
    assert re.search(FAULTS[fault], told)
    assert not list(tmp_path.parent.rglob("evil*"))
    assert not (tmp_path / "got" / "AGS.pdb").exists()
    assert not (tmp_path / "got" / "KDE.pdb").exists() or fault == "link"


def test_the_card_and_the_pin_are_held_to(server: Server, called: Called) -> None:
    code, _, told = called(*command(server, "/a.zip", "size = 17\n"))
    assert code == 1
    assert f"has {len(server.files['/a.zip'])} bytes, at most 17 were expected" in told
    assert not list(Path("got").rglob("*.part"))
    code, _, told = called(*command(server, "/a.zip", f'sha256 = "{"0" * 64}"\n'))
    assert code == 1
    assert "but the card says 000" in told
    assert called(*command(server, "/a.zip"))[0] == 0
    Path("got", ".lock").touch()  # of a process that was killed after it had pinned the ensembles
    assert called(*command(server, "/a.zip"))[0] == 0
    assert not Path("got", ".lock").exists()
    code, _, told = called(*command(server, "/b.tar.gz"))
    assert code == 2
    assert "choose another folder" in told
    Path("got/AGS.pdb").unlink()
    code, _, told = called(*command(server, "/a.zip"))
    assert code == 2
    assert "AGS is gone; remove the folder" in told
    kept = Path("got", LOCK).read_text()
    shutil.rmtree("got")
    Path("got").mkdir()
    Path("got", LOCK).write_text(json.dumps({"archive": json.loads(kept)["archive"]}))
    server.files["/a.zip"] = zipped({"AGS.pdb": b"other"})
    code, _, told = called(*command(server, "/a.zip"))
    assert code == 1
    assert "but the pin says" in told


def test_a_card_without_published_ensembles_says_so(called: Called) -> None:
    code, _, told = called("fetch", "ensembles", "static")
    assert code == 2
    assert "static.toml names published ensembles for no suite, not for atlas-test-v1" in told


def test_a_broken_archive_is_not_pinned(server: Server, archives: dict[str, bytes], called: Called) -> None:
    server.files["/a.zip"] = archives["/a.zip"][:-3000]
    assert called(*command(server, "/a.zip"))[0] == 1
    server.files["/a.zip"] = archives["/a.zip"]
    assert called(*command(server, "/a.zip"))[0] == 0


def test_a_damaged_xz_is_not_used_again(server: Server, archives: dict[str, bytes], called: Called) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archives["/a.zip"])) as source, tarfile.open(fileobj=out, mode="w:xz") as packed:
        for name in source.namelist():
            member = tarfile.TarInfo(name)
            member.size = len(source.read(name))
            packed.addfile(member, io.BytesIO(source.read(name)))
    whole = out.getvalue()
    middle = len(whole) // 2
    server.files["/a.tar.xz"] = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    code, _, told = called(*command(server, "/a.tar.xz"))
    assert (code, told.count("\n")) == (1, 1)
    assert "damaged" in told
    server.files["/a.tar.xz"] = whole
    assert called(*command(server, "/a.tar.xz"))[0] == 0


@pytest.mark.parametrize("text", ["[]", "{", '{"archive": 1}', '{"archive": {}}', '{"targets": {"names": 3}}', "\xff"])
def test_a_damaged_lock_file_is_one_line(server: Server, called: Called, text: str) -> None:
    Path("got").mkdir()
    Path("got", LOCK).write_text(text, encoding="latin-1")
    code, _, told = called(*command(server, "/a.zip"))
    assert (code, told.count("\n")) == (2, 1)


def test_what_a_user_keeps_is_left_alone(server: Server, called: Called) -> None:
    Path("got").mkdir()
    Path("got/AGS.pdb").write_text("mine")
    code, _, told = called(*command(server, "/a.zip"))
    assert (code, told.count("\n")) == (2, 1)
    assert "got is not empty" in told
    assert Path("got/AGS.pdb").read_text() == "mine"
    assert server.asked == []
