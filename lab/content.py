"""Keys for the cache: the same content gives the same key, and any change gives another one."""

import hashlib
from pathlib import Path


def content_key(*parts: str | Path) -> str:
    """A hash of 16 digits over texts, and over the names, modes and contents of files and folders."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            for file in _files(part):
                digest.update(f"{file.relative_to(part.parent)}:{file.lstat().st_mode}".encode())
                digest.update(bytes(file.readlink()) if file.is_symlink() else file.read_bytes())
        else:
            digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(
        file
        for file in path.rglob("*")
        if (file.is_symlink() or file.is_file()) and "__pycache__" not in file.parts
    )
