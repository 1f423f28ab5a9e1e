"""Blobs are what their digest says; archives are the same each time, and never write outside their folder."""

import io
import os
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.base.errors import InputError
from aether.fabric.blobs import ARCHIVE, BlobError, Blobs, digest_of, is_archive, pack, unpack

ABC = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


def archive(path, *entries):
    """A tar with our mark: pairs of what is entered and its bytes."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": ARCHIVE}) as out:
        for entry, data in entries:
            entry.size = len(data)
            out.addfile(entry, io.BytesIO(data))
    return path


def entry(name, kind=tarfile.REGTYPE, link="", mtime=0):
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mtime = kind, link, mtime
    return made


def test_a_blob_comes_back_as_it_went_in(tmp_path):
    blobs = Blobs(tmp_path / "b")
    assert blobs.put(io.BytesIO(b"abc"), ABC) == 3
    assert blobs.size(ABC) == 3
    assert list(blobs) == [ABC]
    with blobs.open(ABC) as file:
        assert file.read() == b"abc"
    blobs.remove(ABC)
    assert blobs.size(ABC) is None


def test_a_blob_that_is_another_or_too_large_leaves_nothing(tmp_path):
    blobs = Blobs(tmp_path / "b", largest_bytes=10)
    with pytest.raises(BlobError, match=r"is not sha256:ba7816bf"):
        blobs.put(io.BytesIO(b"abd"), ABC)
    with pytest.raises(BlobError, match="larger than 10 bytes"):
        blobs.put(io.BytesIO(b"a" * 11), ABC)
    with pytest.raises(BlobError, match="no digest"):
        blobs.open("sha256:../../etc/passwd")
    assert not list((tmp_path / "b").iterdir())


def test_the_same_folder_packs_to_the_same_bytes_and_unpacks_to_itself(tmp_path):
    source = tmp_path / "s"
    (source / "a" / "empty").mkdir(parents=True)
    (source / "a" / "run.sh").write_text("echo")
    (source / "a" / "run.sh").chmod(0o755)
    (source / "näme with space").write_bytes(b"\0\1")
    (source / "latest").symlink_to("a/run.sh")
    (source / "absolute").symlink_to(source / "a" / "run.sh")
    first, second = pack(source, tmp_path / "1"), pack(source, tmp_path / "2")
    assert first.digest == second.digest == digest_of(tmp_path / "1")
    assert is_archive(first.path)
    unpack(first.path, tmp_path / "t")
    assert (tmp_path / "t" / "a" / "empty").is_dir()
    assert os.access(tmp_path / "t" / "a" / "run.sh", os.X_OK)
    assert (tmp_path / "t" / "näme with space").read_bytes() == b"\0\1"
    assert os.readlink(tmp_path / "t" / "latest") == "a/run.sh"
    assert (tmp_path / "t" / "absolute").read_text() == "echo"
    unpack(pack(tmp_path / "t", tmp_path / "3", keep=lambda n: not n.startswith("a")).path, tmp_path / "u")
    assert {p.name for p in (tmp_path / "u").rglob("*")} == {"näme with space", "latest"}


def test_a_single_file_and_a_tar_of_the_users_own_stay_files(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert pack(tmp_path / "f", tmp_path / "1").digest == ABC
    assert not is_archive(tmp_path / "1")
    with tarfile.open(tmp_path / "own.tar", "w") as out:
        out.addfile(entry("x"))
    assert not is_archive(tmp_path / "own.tar")


def test_a_link_out_of_what_is_packed_is_named(tmp_path):
    source = tmp_path / "s"
    source.mkdir()
    (source / "out").symlink_to("/etc/passwd")
    (source / "up").symlink_to("../x")
    with pytest.raises(InputError) as error:
        pack(source, tmp_path / "1")
    assert len(error.value.problems) == 2
    pack(source, tmp_path / "1", strict=False)
    assert unpack(tmp_path / "1", tmp_path / "t") == 0
    assert not list((tmp_path / "t").iterdir())


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([(entry("../x"), b"1")], "leads out"),
        ([(entry("/var/x"), b"1")], "leads out"),
        ([(entry("a/../../x"), b"1")], "leads out"),
        ([(entry("a", tarfile.SYMTYPE, "/etc"), b"")], "link that leads out"),
        ([(entry("a", tarfile.SYMTYPE, "../.."), b"")], "link that leads out"),
        ([(entry("a", tarfile.LNKTYPE, "/etc/passwd"), b"")], "neither a file"),
        ([(entry("a", tarfile.CHRTYPE), b"")], "neither a file"),
        ([(entry("a", tarfile.FIFOTYPE), b"")], "neither a file"),
        ([(entry("a", tarfile.SYMTYPE, "b"), b""), (entry("a/x"), b"1")], "folder in another|behind a link"),
        ([(entry("d/l", tarfile.SYMTYPE, ".."), b""), (entry("d/m", tarfile.SYMTYPE, "l/.."), b"")], "leads out"),
        ([(entry("a"), b"1"), (entry("a/b"), b"1")], "folder in another"),
        ([(entry("x" * 1001), b"1")], "leads out"),
    ],
)  # fmt: skip
def test_archives_that_lead_out_are_refused(tmp_path, entries, told):
    inside = tmp_path / "in"
    with pytest.raises(BlobError, match=told):
        unpack(archive(tmp_path / "a.tar", *entries), inside)
    assert {p.name for p in tmp_path.iterdir()} == {"in", "a.tar"}
    assert all(os.path.realpath(p).startswith(str(inside)) for p in inside.rglob("*"))


def test_a_file_is_never_written_through_a_link_that_was_there(tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a").symlink_to(tmp_path)
    (tmp_path / "t" / "b").symlink_to(tmp_path / "victim")
    with pytest.raises(BlobError, match="behind a link"):
        unpack(archive(tmp_path / "1.tar", (entry("a/x"), b"1")), tmp_path / "t")
    unpack(archive(tmp_path / "2.tar", (entry("b"), b"1")), tmp_path / "t")
    assert not (tmp_path / "victim").exists()
    assert not (tmp_path / "x").exists()


def test_archives_beyond_their_limits_and_broken_ones_are_named(tmp_path):
    made = archive(tmp_path / "a.tar", (entry("a"), b"1" * 100), (entry("b"), b"1"))
    with pytest.raises(BlobError, match="more than 100 bytes"):
        unpack(made, tmp_path / "t", largest_bytes=100)
    with pytest.raises(BlobError, match="more than 1 files"):
        unpack(made, tmp_path / "t", most_files=1)
    made.write_bytes(made.read_bytes()[:1400])
    with pytest.raises(BlobError, match="no archive that can be read"):
        unpack(made, tmp_path / "u")


def test_of_two_checkpoints_the_newest_of_each_name_wins(tmp_path):
    old = archive(tmp_path / "1", (entry("a", mtime=100), b"old"), (entry("b", mtime=300), b"new"))
    new = archive(tmp_path / "2", (entry("a", mtime=200), b"new"), (entry("b", mtime=200), b"old"))
    for order in ((old, new), (new, old)):
        target = tmp_path / f"t{order[0].name}"
        for one in order:
            unpack(one, target, newest=True)
        assert (target / "a").read_text() == (target / "b").read_text() == "new"


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text("ab.é ", min_size=1, max_size=5).filter(lambda n: n.strip(".")), st.binary(max_size=50)))
def test_any_folder_survives_the_trip(tmp_path_factory, files):
    base = tmp_path_factory.mktemp("trip")
    (base / "s").mkdir()
    for name, data in files.items():
        (base / "s" / name).write_bytes(data)
    unpack(pack(base / "s", base / "p").path, base / "t")
    assert {p.name: p.read_bytes() for p in (base / "t").iterdir()} == files
