"""Loads what people add: `package.module:Attribute`, `path/to/file.py:Attribute`, entry points."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
import traceback
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from splitbrain.core.errors import UsageError

NAMES_SHOWN = 12

_OWN_FILES = frozenset({__file__, importlib.__file__, importlib.metadata.__file__})


def looks_like_reference(name: str) -> bool:
    """Tell whether a name points into a module or a file, instead of into the catalogue."""
    return ":" in name


def load_reference(reference: str) -> object:
    """Give the attribute that `module:Attribute` or `file.py:Attribute` names.

    A module is looked for in the working directory, too.

    Raises: UsageError when the file, the module or the attribute does not exist, or when importing
    it fails; the line of the failure is named.
    """
    _see_working_directory()
    place, _, attribute = reference.rpartition(":")
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        names = _defined(module)
        shown = ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
        message = f"{place} has no attribute {attribute!r} (it defines: {shown or 'none'})"
        raise UsageError(message) from error


def looks_like_file(name: str) -> bool:
    """Tell whether a name is that of a file alone, without what is meant in it."""
    return name.endswith(".py")


def references_into(file: str) -> tuple[str, ...]:
    """Give `file.py:Attribute` for everything that a file defines itself.

    Raises: UsageError when there is no such file, or when importing it fails.
    """
    _see_working_directory()
    return tuple(f"{file}:{name}" for name in _defined(_load_file(Path(file))))


def load_installed(group: str, name: str) -> object | None:
    """Give what an installed package offers under this name, or None."""
    for entry in entry_points(group=group, name=name):
        try:
            loaded: object = entry.load()
            return loaded
        except (Exception, SystemExit) as error:
            message = f"the plug-in {name!r} ({entry.value}) cannot be imported: {where(error)}"
            raise UsageError(message) from error
    return None


def installed_names(group: str) -> tuple[str, ...]:
    """Give the names that installed packages offer."""
    return tuple(sorted(entry.name for entry in entry_points(group=group)))


def _defined(module: ModuleType) -> list[str]:
    """Give what a module defines, or its submodules do: not what it imports from elsewhere."""
    place = f"{module.__name__}."
    return sorted(
        name
        for name, thing in vars(module).items()
        if name[:1].isupper() and f"{getattr(thing, '__module__', None)}.".startswith(place)
    )


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        message = f"there is no file {path}"
        raise UsageError(message)
    place = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    name = f"splitbrain_plugin_{path.stem}_{place}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        message = f"{path} cannot be imported: {where(error)}"
        raise UsageError(message) from error
    return module


def _load_module(name: str) -> ModuleType:
    if not name.strip("."):
        message = f"a reference is module:Attribute or file.py:Attribute, not {name + ':'!r}"
        raise UsageError(message)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        message = f"the module {name!r} cannot be imported: {where(error)}"
        raise UsageError(message) from error


def _see_working_directory() -> None:
    """Let plug-ins import what lies in the working directory; what is installed goes first."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def where(error: BaseException) -> str:
    """Give an error of foreign code as one line, with file and line where it was raised.

    Python's own importing is not where anything goes wrong; a syntax error names its place itself.
    """
    text = " ".join(str(error).split())
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    places = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen ") and frame.filename not in _OWN_FILES
    ]
    if not places or isinstance(error, SyntaxError):
        return said
    return f"{said} ({Path(places[-1].filename).name}, line {places[-1].lineno})"
