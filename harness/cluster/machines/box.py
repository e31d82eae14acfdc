"""The box that machines start from: a stock one, or ours, built from Debian packages."""

from __future__ import annotations

import logging
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

from splitbrain.cluster.machines.command import run_program
from splitbrain.cluster.machines.files import box_seal
from splitbrain.core.errors import SetupError

logger = logging.getLogger(__name__)

BUILD_LIMIT_S = 1800.0
_TRIAL = ("vmlinuz", "initrd.img")


def built_box(cache: Path, files: Path, log: Path, say: Callable[[str], None]) -> Path:
    """Give our box, building it if the cache has none of this version.

    Raises: SetupError with the reason.
    """
    path = cache / f"bookworm-{box_seal()}.box"
    if path.is_file():
        return path
    cache.mkdir(parents=True, exist_ok=True)
    say("building the box from Debian packages: a minute or three, once")
    environment: Mapping[str, str] = {
        **os.environ,
        "SPLITBRAIN_BOX_CACHE": str(cache / "packages"),
    }

    def heard(line: str) -> None:
        if line.startswith("box: "):
            say(line.removeprefix("box: "))

    command = ("sh", str(files / "box" / "build.sh"), str(path))
    run_program(
        command,
        limit_s=BUILD_LIMIT_S,
        log=log,
        environment=environment,
        heard=heard,
        what="building the box",
    )
    for old in cache.glob("bookworm-*.box"):
        if old != path:
            old.unlink(missing_ok=True)
    return path


def trial_image(box: Path, folder: Path) -> Path:
    """Take from our box what the trial of KVM boots. Raises: SetupError for a damaged box."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(box) as archive:
            for name in _TRIAL:
                member = archive.extractfile(name)
                assert member is not None
                (folder / name).write_bytes(member.read())
    except (OSError, KeyError, tarfile.TarError) as error:
        message = f"the box {box} is damaged: {error}"
        raise SetupError(message, advice=f"remove it, and it is built anew: rm {box}") from error
    return folder
