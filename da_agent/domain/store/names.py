"""Which names are safe: as a key of the store, as a file below a folder, as an absolute path."""


def is_relative(name: str) -> bool:
    """Whether `name` stays below the folder that it is joined to, and a file can have it."""
    return "\0" not in name and is_encodable(name) and all(part not in ("", ".", "..") for part in name.split("/"))


def is_absolute(path: str) -> bool:
    """Whether `path` begins at the root and does not climb."""
    return path.startswith("/") and ".." not in path.split("/")


def is_encodable(name: str) -> bool:
    """False with half a surrogate pair in it: no file system and no URL takes such a name."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
