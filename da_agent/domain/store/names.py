"""Which names are safe as a key of the store, as a file below a folder, or as an absolute path."""


def is_relative(name: str) -> bool:
    """Whether a file can have `name`, and `name` stays below any folder that it is joined to."""
    return "\0" not in name and is_encodable(name) and all(part not in ("", ".", "..") for part in name.split("/"))


def is_absolute(path: str) -> bool:
    """Whether `path` begins at the root and has no `..` part."""
    return path.startswith("/") and ".." not in path.split("/")


def is_encodable(name: str) -> bool:
    """Whether `name` can be encoded. A name with half a surrogate pair cannot, so no file system or URL accepts it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
