"""What is unpacked is what was packed, to its last byte, or one line says why not; and nothing grows beyond bounds."""

import io
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from ebabench.errors import RunError
from ebabench.system.archives import unpack

FILES = {f"A{k}/x{k}.pdb": f"ATOM {k} 1.23 4.5\n".encode() * 400 for k in range(4)}


def tarred(packing: str, add: Callable[[tarfile.TarFile], None] = lambda archive: None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{packing}") as archive:
        for name, data in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        add(archive)
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def unpacked(folder: Path, data: bytes) -> dict[str, bytes]:
    archive, out = folder / "archive", folder / "out"
    archive.write_bytes(data)
    written = unpack(archive, lambda path: out / path)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in written}


PACKED = {"tar": tarred(""), "gz": tarred("gz"), "bz2": tarred("bz2"), "xz": tarred("xz"), "zip": zipped(FILES)}


@pytest.mark.parametrize("packing", PACKED)
def test_what_was_packed_is_unpacked(tmp_path: Path, packing: str) -> None:
    assert unpacked(tmp_path, PACKED[packing]) == FILES


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz", "zip"])
def test_one_changed_bit_is_found_wherever_it_is(tmp_path: Path, packing: str) -> None:
    """The sums of these formats are read; where a bit matters to nothing, the files are the same."""
    draw = random.Random(1)
    for _ in range(60):
        data = bytearray(PACKED[packing])
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        try:
            assert unpacked(tmp_path, bytes(data)) == FILES
        except RunError as error:
            assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("packing", PACKED)
def test_a_cut_archive_is_found_wherever_it_is_cut(tmp_path: Path, packing: str) -> None:
    whole = PACKED[packing]
    end = 4 * 512 + sum(-(-len(data) // 512) * 512 for data in FILES.values()) if packing == "tar" else len(whole)
    for size in random.Random(2).sample(range(1, end), 30):
        with pytest.raises(RunError) as raised:
            unpacked(tmp_path, whole[:size])
        assert raised.value.code == "archive.damaged"


def test_a_broken_header_inside_a_tar_is_no_end(tmp_path: Path) -> None:
    data = bytearray(PACKED["tar"])
    second = 512 + -(-len(FILES["A0/x0.pdb"]) // 512) * 512
    data[second + 10] ^= 4
    with pytest.raises(RunError) as raised:
        unpacked(tmp_path, bytes(data))
    assert raised.value.code == "archive.damaged"


@pytest.mark.parametrize("packing", ["gz", "xz", "zip"])
def test_a_bomb_is_refused(tmp_path: Path, packing: str) -> None:
    zeros = bytes(80_000_000)
    if packing == "zip":
        data = zipped({"A/x.pdb": zeros})
    else:
        member = tarfile.TarInfo("A/x.pdb")
        member.size = len(zeros)
        data = tarred(packing, lambda archive: archive.addfile(member, io.BytesIO(zeros)))
    with pytest.raises(RunError) as raised:
        unpacked(tmp_path, data)
    assert raised.value.code == "archive.bomb"


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    """Two kilobytes of it make 400 MB."""
    member = tarfile.TarInfo("A/x.pdb")
    member.pax_headers = {
        "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": "400000000",
        "GNU.sparse.numblocks": "1", "GNU.sparse.map": "399999999,1",
    }  # fmt: skip
    member.size = 1
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(RunError) as raised:
        unpacked(tmp_path, out.getvalue())
    assert raised.value.code == "archive.damaged"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../x.pdb", "/x.pdb", "a/../../x.pdb", "C:/x.pdb", "..\\x.pdb"])
@pytest.mark.parametrize("packing", ["tar", "zip"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, packing: str, name: str) -> None:
    member = tarfile.TarInfo(name)
    data = zipped({name: b""}) if packing == "zip" else tarred("", lambda archive: archive.addfile(member))
    with pytest.raises(RunError) as raised:
        unpacked(tmp_path, data)
    assert raised.value.code == "archive.traversal"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_devices_and_pipes_are_left(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("A9/link.pdb")
    member.type, member.linkname = kind, "/etc/passwd"
    assert unpacked(tmp_path, tarred("", lambda archive: archive.addfile(member))) == FILES


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    def again(archive: tarfile.TarFile) -> None:
        archive.addfile(tarfile.TarInfo("A0/x0.pdb"))

    with pytest.raises(RunError) as raised:
        unpacked(tmp_path, tarred("", again))
    assert raised.value.code == "archive.duplicate"


def test_an_archive_of_something_else_is_one_line(tmp_path: Path) -> None:
    for data in (b"", b"x", b"PK", b"<html>", b"\x1f\x8b" + bytes(100)):
        with pytest.raises(RunError) as raised:
            unpacked(tmp_path, data)
        assert "\n" not in str(raised.value)


def test_what_is_not_wanted_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(PACKED["zip"])
    assert unpack(tmp_path / "archive", lambda path: None) == []
    written = unpack(tmp_path / "archive", lambda path: tmp_path / path.name if path.name == "x1.pdb" else None)
    assert written == [tmp_path / PurePosixPath("x1.pdb")]
