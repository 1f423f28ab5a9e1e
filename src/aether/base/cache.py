"""Where compiled kernels are kept: with the user's other caches, so that a package folder or home that cannot be written does no harm."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from platformdirs import user_cache_dir

from aether.base.version import VERSION

VARIABLE = "NUMBA_CACHE_DIR"  # that the compiler reads once, when it is first imported


def prepare() -> Path:
    """Name the folder of compiled kernels before the compiler is imported; one that the user has named stays.

    Returns the folder: `aether/kernels-VERSION` among the user's caches, or among the temporary files of a user whose caches
    cannot be written.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    folder = Path(user_cache_dir("aether", appauthor=False)) / f"kernels-{VERSION}"
    if not _writable(folder):
        user = os.getuid() if hasattr(os, "getuid") else "user"
        folder = Path(tempfile.gettempdir()) / f"aether-{user}" / f"kernels-{VERSION}"
    os.environ[VARIABLE] = str(folder)
    return folder


def _writable(folder: Path) -> bool:
    """Whether files can be written there, the folder made on the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
