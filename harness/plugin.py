"""Loads what people add: `package.module:Attribute`, `path/to/file.py:Attribute`, entry points."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from splitbrain.core.errors import ContractError, UsageError


def looks_like_reference(name: str) -> bool:
    """Tell whether a name points into a module or a file, instead of into the catalogue."""
    return ":" in name


def load_reference(reference: str) -> object:
    """Give the attribute that `module:Attribute` or `file.py:Attribute` names.

    Raises: UsageError when the file, the module or the attribute does not exist, or when importing
    it fails; the line of the failure is named.
    """
    place, _, attribute = reference.rpartition(":")
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        names = ", ".join(sorted(name for name in vars(module) if name[:1].isupper())) or "none"
        message = f"{place} has no attribute {attribute!r} (it defines: {names})"
        raise UsageError(message) from error


def load_installed(group: str, name: str) -> object | None:
    """Give what an installed package offers under this name, or None."""
    for entry in entry_points(group=group, name=name):
        try:
            return entry.load()
        except Exception as error:
            message = f"the plug-in {name!r} ({entry.value}) cannot be imported: {_where(error)}"
            raise UsageError(message) from error
    return None


def installed_names(group: str) -> tuple[str, ...]:
    """Give the names that installed packages offer."""
    return tuple(sorted(entry.name for entry in entry_points(group=group)))


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        message = f"there is no file {path}"
        raise UsageError(message)
    name = f"splitbrain_plugin_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        message = f"{path} cannot be imported: {_where(error)}"
        raise UsageError(message) from error
    return module


def _load_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        message = f"the module {name!r} cannot be imported: {_where(error)}"
        raise UsageError(message) from error


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    line = "" if trace is None else f" (line {trace.tb_lineno})"
    return f"{type(error).__name__}: {error}{line}"


def require_methods(thing: object, role: str, *names: str) -> None:
    """Check that a plug-in has what its role asks for.

    Raises: ContractError naming all that is missing.
    """
    missing = [name for name in names if not hasattr(thing, name)]
    if missing:
        what = ", ".join(missing)
        message = f"{type(thing).__name__} is no {role}: it lacks {what}"
        raise ContractError(message)
