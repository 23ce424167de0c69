"""Wheels and sources that were made to hurt: each is refused with the reason, and none costs the agent anything."""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from da_agent.adapters.packaging import archive_reader, archives, locks
from da_agent.adapters.packaging.archives import Reading
from da_agent.domain import limits
from da_agent.domain.packages.listings import Listing
from da_agent.errors import Invalid
from tests import packages

NAME = "shop-1.0-py3-none-any.whl"
INFO = "shop-1.0.dist-info"
PARTS: dict[str, bytes] = {
    "shop.py": b"x = 1\n",
    f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n",
    f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFO}/RECORD": b"",
}


def wheel_of(folder: Path, **changes: bytes | None) -> Path:
    """A wheel with other files; None leaves one out."""
    path = folder / NAME
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (PARTS | changes).items():
            if data is not None:
                archive.writestr(name, data)
    return path


def refusal(path: Path, reading: Reading = Reading.WHOLE) -> str:
    (found,) = archives.read([(reading, path)])
    assert isinstance(found, Invalid), found
    assert "\n" not in str(found)
    return str(found)


def test_a_wheel_is_listed_and_archives_are_answered_in_order(tmp_path: Path) -> None:
    good = packages.wheel(tmp_path, "shop", "1.0", {"shop": "x = 1\n"})
    bad = tmp_path / "bad-1.0.zip"
    bad.write_bytes(b"junk")
    sdist = packages.sdist(tmp_path, "kiosk", "1.0", {"kiosk": ""})
    listing, refused, source = archives.read([(Reading.WHEEL, good), (Reading.SOURCE, bad), (Reading.SOURCE, sdist)])
    assert isinstance(listing, Listing)
    assert (listing.name, listing.version) == ("shop", "1.0")
    assert (listing.members[0].path, listing.members[0].size) == ("shop.py", 6)
    assert "cannot use bad-1.0.zip: it is damaged or not complete" in str(refused)
    assert source is None


def test_more_archives_than_one_process_reads_are_all_answered(tmp_path: Path) -> None:
    good = packages.wheel(tmp_path, "shop", "1.0", {"shop": ""})
    assert len(archives.listings([good] * 450)) == 450


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({f"{INFO}/METADATA": b" " * 100_000_000}, "unpacks to many times its size"),
        ({f"{INFO}/METADATA": b" " * 60_000_000}, f"METADATA in it has 60000000 bytes, and may have {limits.METADATA}"),
        ({f"{INFO}/METADATA": b""}, "METADATA in it has no Name. Build it again"),
        ({f"{INFO}/METADATA": None}, "METADATA is missing in it. Build it again"),
        ({f"{INFO}/WHEEL": None}, "WHEEL is missing in it. Build it again"),
        ({f"{INFO}/RECORD": None}, "RECORD is missing in it. Build it again"),
        ({f"{INFO}/WHEEL": b"Wheel-Version: 9.0\n"}, "Wheel-Version 9.0 instead of 1.0"),
        ({f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nTag: \n"}, 'has the tag "", which no installer can read'),
        ({"other-1.dist-info/METADATA": b""}, "it has 2 .dist-info folders instead of one"),
        ({"../../etc/cron.d/x": b""}, "it has a file named ../../etc/cron.d/x"),
        ({"/etc/cron.d/x": b""}, "it has a file named /etc/cron.d/x"),
        ({"a\\..\\..\\x": b""}, "it has a file named a"),
        ({"shop.py/x": b""}, "shop.py in it is a file and a folder"),
        ({"shop.py": b"#" * 17_000_000}, "shop.py in it has 17000000 bytes, and may have 16777216. Split it"),
        ({"n" * 2_000: b""}, "has more than 1000 characters"),
        ({f"{INFO}/entry_points.txt": b"[console_scripts]\n../../x = a:b\n"}, "names the program ../../x"),
        ({f"{INFO}/entry_points.txt": b"[console_scripts\n"}, "cannot be read"),
    ],
)
def test_what_no_installer_should_get_is_refused_with_its_name_and_a_remedy(
    tmp_path: Path, changes: dict[str, bytes | None], sentence: str
) -> None:
    path = wheel_of(tmp_path, **changes)
    told = refusal(path)
    assert told.startswith(f"cannot use {NAME}: ")
    assert sentence in told


def test_two_files_of_one_name_a_link_and_another_compression_are_refused(tmp_path: Path) -> None:
    path = wheel_of(tmp_path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("shop.py", "evil = 1\n")
    assert "it has two files named shop.py" in refusal(path)
    path = wheel_of(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("shop/link.py")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/shadow")
    assert "shop/link.py in it is a link" in refusal(path)
    path = wheel_of(tmp_path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_LZMA) as archive:
        archive.writestr("shop/data", "x")
    assert "shop/data in it is not compressed with deflate" in refusal(path)


def test_wrong_bytes_in_a_wheel_are_noticed(tmp_path: Path) -> None:
    path = wheel_of(tmp_path, shop=os.urandom(5_000))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert "it is damaged or not complete" in refusal(path)


def test_very_many_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(limits.MEMBERS + 1):
            archive.writestr(zipfile.ZipInfo(str(number)), b"")
    assert "it has more than 100000 files" in refusal(path)


def tar_of(path: Path, fill: Callable[[tarfile.TarFile], object]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        fill(archive)
    return path


def test_a_source_that_unpacks_without_end_or_hides_its_size_in_a_header_is_refused(tmp_path: Path) -> None:
    big = tarfile.TarInfo("shop/data")
    big.size = 120_000_000
    bomb = tar_of(tmp_path / "bomb-1.0.tar.gz", lambda archive: archive.addfile(big, io.BytesIO(bytes(big.size))))
    assert "unpacks to many times its size" in refusal(bomb, Reading.SOURCE)
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 2**40
    path = tmp_path / "header-1.0.tar.gz"
    path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT)))
    assert "cannot use header-1.0.tar.gz" in refusal(path, Reading.SOURCE)


def read_with(path: Path, kind: str, **changes: int) -> tuple[int, str]:
    """The exit code and the answer of the reader's process with other limits."""
    values = {name: value for name, value in vars(limits).items() if isinstance(value, int)} | changes
    user = "65534" if os.geteuid() == 0 else ""
    command = [sys.executable, "-I", "-S", archive_reader.__file__, json.dumps(values), user, kind, str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout


def test_the_process_that_reads_takes_no_more_memory_or_time_than_it_may(tmp_path: Path) -> None:
    many = tmp_path / NAME
    with zipfile.ZipFile(many, "w") as archive:
        for number in range(50_000):
            archive.writestr(zipfile.ZipInfo(str(number)), b"")
    code, told = read_with(many, "wheel", READER_MEMORY=32 * limits.MIB)
    assert (code, "takes more memory" in told) == (0, True)
    member = tarfile.TarInfo("x")
    member.size = 40_000 * limits.MIB
    long = tmp_path / "long-1.0.tar.gz"
    long.write_bytes(gzip.compress(member.tobuf()) + gzip.compress(bytes(10 * limits.MIB)) * 4_000)
    generous = dict.fromkeys(("UNPACKED", "SWELLING_FREE"), 2**50)
    assert read_with(long, "source", READER_SECONDS=1, **generous) == (-signal.SIGXCPU, "ready\n")


def test_of_many_archives_the_one_that_ends_the_reader_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    good = packages.wheel(tmp_path, "shop", "1.0", {"shop": ""})
    path = tmp_path / "long-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        # The listing of these names is longer than the reader may say.
        for number in range(50_000):
            archive.writestr(zipfile.ZipInfo(f"{'é' * 120}/{'é' * 120}{number}"), b"")
        for name, data in PARTS.items():
            archive.writestr(name, data)
    first, refused, last = archives.read([(Reading.WHEEL, good), (Reading.WHEEL, path), (Reading.WHEEL, good)])
    assert isinstance(first, Listing)
    assert first == last
    assert "cannot use long-1.0-py3-none-any.whl: its listing has more than" in str(refused)


@pytest.mark.parametrize(
    "text",
    [
        "packages = 3",
        'packages = [{name = "shop\\nevil"}]',
        'packages = [{name = "shop", wheels = [{url = "https://x/ --index-url=https://evil", hashes = {}}]}]',
        "packages = [",
        "packages = " + "[" * 100_000,
        "\\xff",
    ],
    ids=range(6),
)
def test_a_lock_file_that_a_build_has_changed_is_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pylock.toml"
    path.write_text(text)
    with pytest.raises(Invalid, match="the result of uv is not a lock file"):
        locks.parse(path, ())
