"""Chains of ATLAS from a server that is told to fail: what is put into place is right, whole and pinned."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Called, ebabench
from server import Server, chain_files, serving, zipped

import ebabench.system.download as module
from ebabench.datasets.atlas import LOCK, check_tier, fetch_chain
from ebabench.datasets.references import References
from ebabench.datasets.suites import load_suite
from ebabench.errors import InputError, RunError

pytestmark = pytest.mark.slow

CHAIN, SEQUENCE = "1abc_A", "AGSKL"
PROTEIN, ANALYSIS = "{}_prod_R{}_fit.xtc", "{}_R{}.xtc"
REST, STATIC = f"/ATLAS/api/ATLAS/protein/{CHAIN}", f"/ATLAS/database/ATLAS/{CHAIN}/{CHAIN}_protein.zip"
NAMES = [f"{CHAIN}.pdb", *(PROTEIN.format(CHAIN, k) for k in (1, 2, 3))]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The protein archive of a five-residue chain."""
    return chain_files(tmp_path_factory.mktemp("made"), CHAIN, SEQUENCE, 10_001, PROTEIN)


@pytest.fixture
def server(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "BACKOFF", 0.01)
    with serving() as state:
        state.files = {REST: zipped(files), STATIC: zipped(files)}
        yield state


def get(server: Server, root: Path, sequence: str = SEQUENCE, tier: str = "atlas-protein") -> None:
    fetch_chain(root, CHAIN, sequence, tier, server.url)


def nothing_there(root: Path) -> bool:
    """Neither the chain nor a pin; what arrived may be kept aside."""
    return not (root / CHAIN).exists() and not (root / LOCK).exists()


def test_a_chain_comes_from_the_rest_interface_and_is_pinned(server: Server, tmp_path: Path) -> None:
    get(server, tmp_path)
    assert [path for path, _ in server.asked] == [REST]
    assert sorted(path.name for path in (tmp_path / CHAIN).iterdir()) == sorted(NAMES)
    pinned = json.loads((tmp_path / LOCK).read_text())[CHAIN]
    assert pinned["tier"] == "atlas-protein"
    assert pinned["frames"] == 10_001
    assert pinned["heavy_atoms"] == len(SEQUENCE)
    assert pinned["sha256"] == {name: module.sha256(tmp_path / CHAIN / name) for name in NAMES}
    assert pinned["source"] == server.url + REST
    assert sorted(path.name for path in tmp_path.rglob("*.zip*")) == []


@pytest.mark.parametrize("fault", [404, 500, ("silent", 1.0)])
def test_the_static_path_is_next(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: object
) -> None:
    if isinstance(fault, tuple):
        monkeypatch.setattr(module, "TIMEOUT", (10.0, 0.5))
    server.faults[REST] = [fault] * module.ATTEMPTS
    get(server, tmp_path)
    assert server.asked[-1][0] == STATIC
    assert (tmp_path / CHAIN / NAMES[0]).exists()


def test_a_chain_that_nobody_has(server: Server, tmp_path: Path) -> None:
    server.files.clear()
    with pytest.raises(RunError, match=f"{REST}: the server answers 404.*{STATIC}: the server answers 404"):
        get(server, tmp_path)
    assert nothing_there(tmp_path)


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.faults[REST] = [503, 503]
    get(server, tmp_path)
    assert [path for path, _ in server.asked] == [REST] * 3


def spoiled(files: dict[str, bytes], fault: str, folder: Path) -> bytes:
    """An archive with a fault."""
    names, whole = list(files), zipped(files)
    inside = whole.index(files[names[2]][1000:1100])
    damaged = {
        "truncated": whole[: len(whole) // 2],
        "a bit flipped": whole[:inside] + bytes([whole[inside] ^ 1]) + whole[inside + 1 :],
        "no archive": b"<html>maintenance</html>",
        "traversal": zipped({"../../evil.pdb": b"x"} | files),
        "absolute": zipped({"/evil.pdb": b"x"} | files),
        "no replica 3": zipped({name: data for name, data in files.items() if "R3" not in name}),
        "twice": zipped({f"a/{names[0]}": files[names[0]]} | files),
        "other names": zipped({name.replace(CHAIN, "2xyz_B"): data for name, data in files.items()}),
    }
    return damaged[fault] if fault in damaged else zipped(another(files, fault, folder))


def another(files: dict[str, bytes], fault: str, folder: Path) -> dict[str, bytes]:
    """Files of the right names that hold something else."""
    topology, trajectory = f"{CHAIN}.pdb", PROTEIN.format(CHAIN, 2)
    if fault == "another protein":
        return chain_files(folder, CHAIN, "AGSKV", 10_001, PROTEIN)
    if fault == "a frame short":
        return chain_files(folder, CHAIN, SEQUENCE, 10_000, PROTEIN)
    if fault == "an atom more":
        return files | {topology: chain_files(folder, CHAIN, SEQUENCE, 1, PROTEIN, only_ca=False)[topology]}
    if fault == "a cut trajectory":
        return files | {trajectory: files[trajectory][:-7]}
    head, first, rest = files[topology].decode().split("\n", 2)
    moved = f"{first[:30]}{float(first[30:38]) + 0.4:8.3f}{first[38:]}"
    return files | {topology: "\n".join([head, moved, rest]).encode()}


FAULTS = {
    "truncated": "damaged, or cut off",
    "a bit flipped": "damaged, or cut off",
    "no archive": "not a zip or tar archive",
    "traversal": "leads out of it",
    "absolute": "leads out of it",
    "no replica 3": "has no 1abc_A_prod_R3_fit.xtc",
    "twice": "holds 1abc_A.pdb more than once",
    "other names": "has no 1abc_A.pdb",
    "another protein": "another protein: AGSKV in place of AGSKL",
    "a frame short": "frames of each replica are .*1: 10000",
    "another start": "replica 1 begins 0.* A away from 1abc_A.pdb",
    "an atom more": "frames of 5 atoms, the topology has",
    "a cut trajectory": "R2_fit.xtc.*truncated",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_never_put_into_place(
    server: Server, files: dict[str, bytes], tmp_path: Path, fault: str
) -> None:
    root = tmp_path / "data"
    server.files = dict.fromkeys((REST, STATIC), spoiled(files, fault, tmp_path))
    with pytest.raises(RunError, match=FAULTS[fault]) as caught:
        get(server, root)
    assert "\n" not in str(caught.value)
    assert nothing_there(root)
    assert list(tmp_path.rglob("evil*")) == []
    assert not Path("/evil.pdb").exists()
    # The right archive on the static path is enough, and the fault of the other leaves no trace.
    server.files[STATIC] = zipped(files)
    get(server, root)
    assert sorted(path.name for path in (root / CHAIN).iterdir()) == sorted(NAMES)


def test_what_is_there_is_checked_and_not_fetched_again(server: Server, tmp_path: Path) -> None:
    get(server, tmp_path)
    server.asked.clear()
    (tmp_path / ".lock").touch()  # of a process that was killed after it had pinned the chain
    get(server, tmp_path)
    assert server.asked == []
    assert not (tmp_path / ".lock").exists()
    trajectory = tmp_path / CHAIN / NAMES[2]
    data = bytearray(trajectory.read_bytes())
    data[5000] ^= 1
    trajectory.write_bytes(data)
    with pytest.raises(RunError, match=rf"{NAMES[2]} has changed since it was pinned; remove .*{CHAIN}"):
        get(server, tmp_path)
    with pytest.raises(InputError) as raised:  # nor is it scored against
        References(tmp_path, [CHAIN], "atlas-protein")(CHAIN)
    assert raised.value.code == "reference.changed"
    trajectory.unlink()
    with pytest.raises(RunError, match=f"{NAMES[2]} is gone"):
        get(server, tmp_path)


def test_another_file_than_the_pinned_one_is_refused(server: Server, tmp_path: Path) -> None:
    get(server, tmp_path)
    shutil.rmtree(tmp_path / CHAIN)
    other = chain_files(tmp_path, CHAIN, SEQUENCE, 10_001, PROTEIN)
    other[NAMES[1]] = other[NAMES[2]]
    server.files = dict.fromkeys((REST, STATIC), zipped(other))
    with pytest.raises(RunError, match=rf"{NAMES[1]}: not what was pinned for {CHAIN} at first sight"):
        get(server, tmp_path)
    assert not (tmp_path / CHAIN).exists()


def test_what_a_user_put_there_is_verified_and_pinned(server: Server, files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / CHAIN).mkdir()
    for name in NAMES:
        (tmp_path / CHAIN / name).write_bytes(files[name])
    get(server, tmp_path)
    assert server.asked == []
    assert json.loads((tmp_path / LOCK).read_text())[CHAIN]["source"] == "was there"
    (tmp_path / LOCK).unlink()
    with pytest.raises(RunError, match="another protein"):
        get(server, tmp_path, "AGSKV")
    assert (tmp_path / CHAIN).exists()


def test_tiers_are_kept_apart(server: Server, tmp_path: Path) -> None:
    get(server, tmp_path / "protein")
    url = REST.replace("protein", "analysis")
    server.files[url] = zipped(chain_files(tmp_path, CHAIN, SEQUENCE, 1001, ANALYSIS))
    get(server, tmp_path / "analysis", tier="atlas-analysis")
    for kind in ("protein", "analysis"):
        check_tier(tmp_path / kind, f"atlas-{kind}")
    with pytest.raises(InputError, match="holds atlas-protein, not atlas-analysis"):
        check_tier(tmp_path / "protein", "atlas-analysis")
    with pytest.raises(InputError, match="holds atlas-analysis, not atlas-protein"):
        check_tier(tmp_path / "analysis", "atlas-protein")
    shutil.copytree(tmp_path / "analysis" / CHAIN, tmp_path / "protein" / CHAIN, dirs_exist_ok=True)
    with pytest.raises(InputError, match="mixes tiers"):
        check_tier(tmp_path / "protein", "atlas-protein")


TWO = [target for target in load_suite("atlas-test-v1").targets if len(target.sequence) < 50]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The analysis archives of the two shortest chains of the test split, by path."""
    folder = tmp_path_factory.mktemp("two")
    return {
        f"/ATLAS/api/ATLAS/analysis/{one.name}": zipped(chain_files(folder, one.name, one.sequence, 1001, ANALYSIS))
        for one in TWO
    }


def command(server: Server, *more: str) -> list[str]:
    chains = [word for one in TWO for word in ("--target", one.name)]
    return ["fetch", "atlas", "--split", "test", "--tier", "analysis", "--mirror", server.url, *chains, *more]


def test_the_command_fetches_what_is_missing_and_names_the_licence(
    server: Server, archives: dict[str, bytes], called: Called, tmp_path: Path
) -> None:
    (first, body), (second, other) = archives.items()
    server.files = {first: body}
    code, said, told = called(*command(server))
    assert "CC BY-NC 4.0" in said
    assert code == 1
    assert f"1 of 2 chains are missing ({TWO[1].name}); {TWO[1].name}: " in told
    assert "answers 404" in told
    assert told.count("\n") == 1
    server.files = {second: other}
    code, said, told = called(*command(server))
    assert (code, told) == (0, "")
    assert "2 chains of atlas-analysis are in data/atlas-analysis, verified" in said
    assert set(json.loads((tmp_path / "data" / "atlas-analysis" / LOCK).read_text())) == {one.name for one in TWO}
    code, said, told = called(*command(server, "--tier", "protein", "--data", "data/atlas-analysis"))
    assert (code, told.count("\n")) == (2, 1)
    assert "holds atlas-analysis, not atlas-protein" in told


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_fetch_goes_on(
    server: Server, archives: dict[str, bytes], tmp_path: Path, how: signal.Signals
) -> None:
    server.files = dict(archives)
    slow = next(iter(archives))
    server.faults[slow] = [("slow", 0.5)]
    whole = [sys.executable, "-c", "from ebabench.cli import main; main()", *command(server)]
    # What was started in the background ignores SIGINT, and so would what it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(whole, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    signal.signal(signal.SIGINT, before)
    root = tmp_path / "data" / "atlas-analysis"
    part = root / ".downloads" / f"{TWO[0].name}-atlas-analysis" / "1.zip.part"
    while not (part.exists() and part.stat().st_size > 50_000 and (root / TWO[1].name).exists()):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(how)
    told = process.communicate()[1]
    if how is signal.SIGINT:
        assert process.returncode == 1
        assert "interrupted; what was finished is kept, the same command goes on from it" in told
    assert not (root / TWO[0].name).exists()
    server.asked.clear()
    done = ebabench(*command(server), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ((path, wanted),) = server.asked
    assert path == slow
    assert wanted is not None
    assert int(wanted.removeprefix("bytes=").removesuffix("-")) > 50_000
    assert list((root / ".downloads").iterdir()) == []


@pytest.mark.parametrize("fault", [("silent", 300.0), ("drip", 0.5)])
def test_an_interruption_does_not_wait_for_the_server(
    server: Server, archives: dict[str, bytes], tmp_path: Path, fault: tuple[str, float]
) -> None:
    server.files = dict(archives)
    server.faults = defaultdict(list, {path: [fault] for path in archives})
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    whole = [sys.executable, "-c", "from ebabench.cli import main; main()", *command(server)]
    process = subprocess.Popen(whole, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    signal.signal(signal.SIGINT, before)
    while len(server.asked) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert told.startswith("ebabench: interrupted")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("--mirror", "http://127.0.0.1:9"), "cannot be reached"),
        (("--mirror", "ftp://here"), "begins with neither"),
        (("--target", "9zzz_Z"), "unknown target of atlas-test-v1 '9zzz_Z'"),
        (("--split", "all"), "Invalid value for '--split'"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(
    server: Server, called: Called, tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    code, _, told = called(*command(server), *change)
    assert code == (1 if "reached" in said else 2)
    assert said in told
    assert told.count("\n") == 1
    assert list(tmp_path.rglob("*.pdb")) == []
