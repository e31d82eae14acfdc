"""A plug-in that breaks the contract of its role is refused in one line before anything starts."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from splitbrain.core.errors import UsageError
from splitbrain.core.run import Plan
from splitbrain.execute import prepare

MEMORY = Path(__file__).parent / "testdata" / "plugins" / "memory.py"
PLAN = Plan(
    system=f"{MEMORY}:MemorySystem",
    workload="register",
    cluster=f"{MEMORY}:MemoryCluster",
    node_count=3,
    time_limit_s=3.0,
)
BROKEN = """
import sys
from splitbrain import At, Fault


class Good:
    name = "good"

    def check(self, evidence):
        return None


class Nemesis:
    kind = "odd"

    def inject(self, bed, resolved):
        return None

    def heal(self, bed, injection):
        return None


class NoHeal:
    def inject(self, bed, resolved):
        return None


class WrongInject(Nemesis):
    def inject(self, bed):
        return None


class NeedsMore(Nemesis):
    def __init__(self, strength):
        self.strength = strength


class Crashes(Nemesis):
    def __init__(self):
        raise ValueError("first line\\nsecond line")


class Exits(Nemesis):
    def __init__(self):
        sys.exit(0)


class DrawsNumbers(Nemesis):
    def draw(self, rng, shape):
        return [1]


class DrawsOthers(Nemesis):
    def draw(self, rng, shape):
        return [Fault(id="a", kind="even", start=At(0.1))]


class DrawsObjects(Nemesis):
    def draw(self, rng, shape):
        return [Fault(id="a", kind="odd", start=At(0.1), target=object())]


class DrawCrashes(Nemesis):
    def draw(self, rng, shape):
        return 1 / 0


class ResolveCrashes(Nemesis):
    def resolve(self, fault, view):
        return fault.nothing


class NoName:
    def check(self, evidence):
        return None


class NumberedName(Good):
    name = 5


class EmptyName(Good):
    name = ""


class TakenName(Good):
    name = "stats"


class TakesNothing(Good):
    def check(self):
        return None


class NoMethod(Good):
    check = 3


class NeedsText(Good):
    needs = ["history"]


class NeedsNumber(Good):
    needs = 5


class OddParameters(Good):
    def parameters(self):
        return {"x": object()}


class ParametersCrash(Good):
    def parameters(self):
        return 1 / 0


class Empty:
    name = "empty"


class Cluster:
    name = "c"

    def __init__(self, node_count):
        self.node_count = node_count


class System:
    name = "s"
    facts = {}
    install = 1

    def daemons(self, node, topology):
        return []

    def client(self, vocabulary, topology):
        return None


class Soon(System):
    facts = {"recovery_bound_s": "soon"}

    def install(self, node, topology): ...


class Least(Soon):
    facts = {}
    thresholds = 5


class LeastText(Least):
    thresholds = {"snapshot_entries": "2"}


class LeastNegative(Least):
    thresholds = {"snapshot_entries": -1}


class Workload:
    name = "w"
    vocabulary = 3
    facts = {}

    def setup(self, load): ...
    def main(self, load): ...
    def final(self, load, keys): ...
    def checkers(self, load):
        return [1]


def makes_nothing():
    pass


number = 3
"""


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    return file


NEMESES = {
    "NoHeal": "broken.py:NoHeal is no nemesis: it lacks heal",
    "WrongInject": "inject must take 2 arguments beside self",
    "NeedsMore": "cannot be made without arguments: missing a required argument: 'strength'",
    "Crashes": "cannot be made: ValueError: first line second line (broken.py, line 40)",
    "Exits": "cannot be made: SystemExit: 0 (broken.py, line 45)",
    "DrawsNumbers": "the nemesis 'odd' drew 1, which is no Fault",
    "DrawsOthers": "the nemesis 'odd' drew a fault of the kind 'even'",
    "DrawsObjects": "the nemesis 'odd' drew a fault that cannot be written down",
    "DrawCrashes": "the nemesis 'odd' cannot draw: ZeroDivisionError",
    "ResolveCrashes": "the fault 'odd-1': AttributeError",
    "number": "broken.py:number is no nemesis: it lacks inject and heal",
    "makes_nothing": "is no nemesis: it lacks inject and heal",
}
CHECKERS = {
    "NoName": "broken.py:NoName is no checker: it lacks name",
    "NumberedName": "'name' must be a text, not 5",
    "EmptyName": "'name' must be a text, not ''",
    "TakenName": "there is another checker of the name 'stats'",
    "TakesNothing": "check must take 1 argument beside self",
    "NoMethod": "check must be a method, not 3",
    "NeedsText": "'needs' must be a set of Need.HISTORY, ",
    "NeedsNumber": "'needs' must be a set of Need.HISTORY, ",
    "OddParameters": "the checker 'good': parameters: ValueError: object is not",
    "ParametersCrash": "the checker 'good': parameters: ZeroDivisionError",
    "makes_nothing": "broken.py:makes_nothing is no checker: it lacks name, check",
}
CASES = [
    *(("nemeses", name, said) for name, said in NEMESES.items()),
    *(("checkers", name, said) for name, said in CHECKERS.items()),
    ("system", "Empty", "is no system: it lacks facts, install, daemons, client"),
    ("system", "System", "install must be a method, not 1"),
    ("system", "Soon", "'recovery_bound_s' of the facts must be a number of seconds, not 'soon'"),
    ("system", "Least", "'thresholds' must be a mapping of options to least values, not 5"),
    ("system", "LeastText", "least values, not {'snapshot_entries': '2'}"),
    ("system", "LeastNegative", "least values, not {'snapshot_entries': -1}"),
    ("workload", "Empty", "is no workload: it lacks vocabulary, facts, setup, main, final"),
    ("workload", "Workload", "'vocabulary' must be a Vocabulary, not 3"),
    ("cluster", "Cluster", "is no cluster: it lacks entered, up, down, host"),
]


@pytest.mark.parametrize(("field", "name", "said"), CASES)
def test_a_broken_plugin_is_refused_in_one_line(
    broken: Path, field: str, name: str, said: str
) -> None:
    reference = f"{broken}:{name}"
    given = (reference,) if field in ("nemeses", "checkers") else reference
    with pytest.raises(UsageError) as raised:
        prepare(replace(PLAN, **{field: given}))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_a_workload_brings_along_is_checked_as_well(broken: Path) -> None:
    broken.write_text(
        BROKEN.replace(
            "vocabulary = 3", "from splitbrain.core.operation import REGISTER as vocabulary"
        )
    )
    with pytest.raises(UsageError, match="Workload is no checker: it lacks name, check"):
        prepare(replace(PLAN, workload=f"{broken}:Workload"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys\nsys.exit(0)\n", "cannot be imported: SystemExit: 0 (it.py, line 2)"),
        ("\n\n1 / 0\n", "ZeroDivisionError: division by zero (it.py, line 3)"),
        ("import not_there_at_all\n", "No module named 'not_there_at_all' (it.py, line 1)"),
        ("def x(:\n", "cannot be imported: SyntaxError: invalid syntax (it.py, line 1)"),
        ("x = '\0'\n", "source code string cannot contain null"),
        ("\n".join(f"class C{n}: ..." for n in range(30)), "it defines: C0, C1, C10, "),
    ],
)
def test_a_file_that_cannot_be_imported_names_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "it.py").write_text(text)
    with pytest.raises(UsageError) as raised:
        prepare(replace(PLAN, checkers=(f"{tmp_path / 'it.py'}:Missing",)))
    assert said in str(raised.value)
    assert str(raised.value).endswith(said) or "null" in said or "C10" in said
    assert len(str(raised.value)) < 400


def test_a_module_is_found_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "checkers_of_a_user"
    package.mkdir()
    (package / "good.py").write_text("from checkers_of_a_user.base import Good as Mine\n")
    (package / "base.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [item for item in sys.path if item])
    prepared = prepare(replace(PLAN, checkers=("checkers_of_a_user.good:Mine",)))
    assert "good" in [checker.name for checker in prepared.checkers]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (":", "a reference is module:Attribute or file.py:Attribute"),
        (":b", "a reference is module:Attribute or file.py:Attribute"),
        ("not_there:X", "cannot be imported: ModuleNotFoundError: No module named 'not_there'"),
        ("json:dumps", "cannot be made without arguments: missing a required argument: 'obj'"),
    ],
)
def test_a_reference_to_nothing_is_one_line(reference: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        prepare(replace(PLAN, checkers=(reference,)))
    assert said in str(raised.value)
    assert "line" not in str(raised.value)


def test_an_option_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(UsageError, match="has no option 'speed'; there are forgetful"):
        prepare(replace(PLAN, options={"speed": 1}))


def test_a_file_offers_what_it_defines_and_not_what_it_imports(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from pathlib import Path\nfrom splitbrain.core.system import System\n\n"
        "LIMIT = 3\n\n\nclass Mine:\n    pass\n\n\nclass Other:\n    pass\n"
    )
    with pytest.raises(UsageError, match=r"no attribute 'Min' \(it defines: Mine, Other\)"):
        prepare(replace(PLAN, system=f"{file}:Min"))
    with pytest.raises(UsageError) as raised:
        prepare(replace(PLAN, system=str(file)))
    assert str(raised.value).endswith(f"name the class in it: {file}:Mine or {file}:Other")
