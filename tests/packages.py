"""Real wheels, sdists and zips of sources, made in a moment.

Modules are named as they are imported (`shop`, `docassemble.shop.__init__`); their values are their text.
A wheel is written by hand and takes a millisecond. The sources are built with setuptools, as most are in the world.
"""

import base64
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

_LONG_AGO = (2020, 1, 1, 0, 0, 0)


def wheel(
    folder: Path,
    name: str,
    version: str,
    modules: Mapping[str, str],
    requires: Iterable[str] = (),
    *,
    tag: str = "py3-none-any",
    files: Mapping[str, str | bytes] | None = None,
) -> Path:
    """A wheel in `folder`, the same bytes for the same arguments. `files` are further ones, by their path."""
    stem = f"{_escaped(name)}-{version}"
    bodies: dict[str, str | bytes] = {**_files(modules), **(files or {})}
    bodies[f"{stem}.dist-info/METADATA"] = _metadata(name, version, requires)
    bodies[f"{stem}.dist-info/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
    record = f"{stem}.dist-info/RECORD"
    bodies[record] = "".join(f"{path},{_digest(body)}\n" for path, body in bodies.items()) + f"{record},,\n"
    path = folder / f"{stem}-{tag}.whl"
    _write_zip(path, bodies)
    return path


def sdist(
    folder: Path,
    name: str,
    version: str,
    modules: Mapping[str, str],
    requires: Iterable[str] = (),
    *,
    setup: str = "",
    header: str | None = None,
) -> Path:
    """`NAME-VERSION.tar.gz`. `setup` is run by its setup.py first; see `source_files` for `header`."""
    stem = f"{_escaped(name)}-{version}"
    path = folder / f"{stem}.tar.gz"
    files = source_files(name, version, modules, requires, setup=setup, header=header)
    files["PKG-INFO"] = _metadata(name, version, requires)
    with tarfile.open(path, "w:gz") as archive:
        for member, text in files.items():
            entry = tarfile.TarInfo(f"{stem}/{member}")
            entry.size = len(text.encode())
            entry.mtime = 1_577_836_800
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def zip_source(
    folder: Path,
    name: str,
    version: str,
    modules: Mapping[str, str],
    requires: Iterable[str] = (),
    *,
    setup: str = "",
    header: str | None = None,
    branch: str = "main",
) -> Path:
    """`NAME-BRANCH.zip` as GitHub makes it: one folder of that name at the top, the version only inside."""
    path = folder / f"{name}-{branch}.zip"
    files = source_files(name, version, modules, requires, setup=setup, header=header)
    _write_zip(path, {f"{name}-{branch}/{member}": text for member, text in files.items()})
    return path


def source_files(
    name: str,
    version: str,
    modules: Mapping[str, str],
    requires: Iterable[str] = (),
    *,
    setup: str = "",
    header: str | None = None,
) -> dict[str, str]:
    """A source tree, by path. With `header` it has a C extension that includes it: `stdio.h` builds, others may not."""
    arguments = {
        "name": name,
        "version": version,
        "py_modules": sorted(path.removesuffix(".py") for path in _files(modules) if "/" not in path),
        "packages": sorted({str(Path(path).parent).replace("/", ".") for path in _files(modules) if "/" in path}),
        "install_requires": list(requires),
    }
    files = dict(_files(modules))
    extension = ""
    if header is not None:
        files["speedups.c"] = _EXTENSION.replace("HEADER", header)
        extension = ", ext_modules=[setuptools.Extension('speedups', ['speedups.c'])]"
    files["setup.py"] = f"import setuptools\n{setup}\nsetuptools.setup(**{arguments!r}{extension})\n"
    files["pyproject.toml"] = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    return files


_EXTENSION = """\
#include <Python.h>
#include <HEADER>
static struct PyModuleDef speedups = {PyModuleDef_HEAD_INIT, "speedups", 0, -1, 0};
PyMODINIT_FUNC PyInit_speedups(void) { return PyModule_Create(&speedups); }
"""


def _files(modules: Mapping[str, str]) -> dict[str, str]:
    return {name.removesuffix(".py").replace(".", "/") + ".py": text for name, text in modules.items()}


def _escaped(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")


def _metadata(name: str, version: str, requires: Iterable[str]) -> str:
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"


def _digest(body: str | bytes) -> str:
    data = body.encode() if isinstance(body, str) else body
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={digest},{len(data)}"


def _write_zip(path: Path, files: Mapping[str, str | bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, text in files.items():
            archive.writestr(zipfile.ZipInfo(member, _LONG_AGO), text)
