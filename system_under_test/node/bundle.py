"""Packs this package into one file that runs on any host with Python 3.11."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

NAME = "splitbrain-node.pyz"
"""What the file is called on a node."""

PACKAGE = "splitbrain_node"
"""The name of this package inside the file."""

_MAIN = f"""\
import sys

from {PACKAGE}.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""

_DATE = (1980, 1, 1, 0, 0, 0)


def build() -> bytes:
    """Give the zipapp: equal sources give equal bytes (fixed dates, sorted, not compressed)."""
    root = Path(__file__).resolve().parent
    sources = {
        f"{PACKAGE}/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in root.rglob("*.py")
    }
    sources["__main__.py"] = _MAIN.encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, source in sorted(sources.items()):
            item = zipfile.ZipInfo(name, _DATE)
            item.external_attr = 0o100644 << 16
            item.create_system = 3  # Unix, wherever it is built
            archive.writestr(item, source)
    return packed.getvalue()
