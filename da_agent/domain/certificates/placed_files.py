"""The bytes of certificate files as a node writes them: each program reads the same certificates in them."""

from collections.abc import Mapping

from da_agent.domain.certificates import file_names, pem_blocks
from da_agent.domain.store import keys


def placed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files that belong into a folder of certificates, PEM in its plainest form.

    Invalid for PEM that programs would read differently. Files that are neither certificates nor keys are left out.
    """
    return {name: _plain(name, data) for name, data in files.items() if file_names.is_certificate(name)}


def _plain(name: str, data: bytes) -> bytes:
    if not name.endswith(file_names.PEM):
        return data
    return pem_blocks.text(pem_blocks.read(data, keys.CERTIFICATES + name))
