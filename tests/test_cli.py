"""The commands: what a person may get wrong is one line and the right exit code."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from splitbrain import cli, exit_code
from splitbrain.core.bug import PlantedBug
from splitbrain.core.errors import HarnessError, UsageError

VALID = """\
{"process":0,"type":"invoke","f":"write","key":"x","value":1,"time":1}
{"process":0,"type":"ok","f":"write","key":"x","value":1,"time":2}
{"process":1,"type":"invoke","f":"read","key":"x","value":null,"time":3}
{"process":1,"type":"ok","f":"read","key":"x","value":1,"time":4}
"""
INVALID = VALID.replace('"value":1,"time":4', '"value":2,"time":4')
UNKNOWN = VALID.replace('"f":"read"', '"f":"guess"')


def run_cli(
    *arguments: str, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "splitbrain.cli", *arguments],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "valid.jsonl").write_text(VALID)
    (tmp_path / "invalid.jsonl").write_text(INVALID)
    (tmp_path / "unknown.jsonl").write_text(UNKNOWN)
    (tmp_path / "broken.jsonl").write_text(VALID + '{"process":\n')
    return tmp_path


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["valid"], 0),
        (["invalid"], 1),
        (["unknown"], 2),
        (["broken"], 254),
        (["valid", "unknown"], 2),
        (["unknown", "invalid"], 1),
        (["invalid", "broken", "valid"], 254),
    ],
)
def test_exit_codes_of_check_and_of_several_the_worst(
    files: Path, names: list[str], code: int
) -> None:
    done = run_cli("check", *(f"{name}.jsonl" for name in names), cwd=files)
    assert done.returncode == code, done.stdout + done.stderr


def test_check_prints_one_json_object_a_path(files: Path) -> None:
    done = run_cli("check", "valid.jsonl", "invalid.jsonl", "broken.jsonl", "--json", cwd=files)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["verdict"] for row in rows] == ["valid", "invalid", "unknown"]
    assert [row["path"] for row in rows] == ["valid.jsonl", "invalid.jsonl", "broken.jsonl"]
    found = rows[1]["checkers"]["linearizable"]
    assert found["verdict"] == "invalid"
    (anomaly,) = found["anomalies"]
    assert set(anomaly) >= {"name", "explanation", "operations"}
    assert anomaly["operations"]
    assert isinstance(found["stats"], dict)


def test_a_malformed_history_is_named_with_its_line(files: Path) -> None:
    done = run_cli("check", "broken.jsonl", cwd=files)
    assert done.stderr.startswith("splitbrain: broken.jsonl:5: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["run", "--system", "rafft"],
            "there is no system 'rafft'; did you mean raft? (`splitbrain",
        ),
        (["run", "--workload", "registr"], "there is no workload 'registr'"),
        (["run", "--nemesis", "partition,kil"], "there is no nemesis 'kil'"),
        (["run", "--checker", "nothing"], "`splitbrain list checkers` lists all, or name one as f"),
        (["run", "--bug", "xyzzy"], "there is no bug 'xyzzy'; `splitbrain list bugs` lists all"),
        (["run", "--bug", "stale-raed"], "'stale-raed'; did you mean stale-read"),
        (["run", "--cluster", "cloud"], "there is no cluster 'cloud'; there are embedded, inv"),
        (["run", "--nodes", "0"], "--nodes"),
        (["run", "--time-limit", "x"], "--time-limit"),
        (["run", "--concurrency", "many"], "--concurrency 'many'"),
        (["run", "--concurrency", "\u00b2"], "--concurrency '\u00b2'"),
        (["run", "--nodes", "1.5"], "1.5 is not a whole number from 1 to 50"),
        (["run", "--time-limit", "inf"], "inf is not a number from 0.1 to 604800"),
        (["run", "--time-limit", "nan"], "nan is not a number from 0.1 to 604800"),
        (["run", "--rate", "nan"], "nan is not a number from 0.001 to"),
        (["run", "--interval", "inf"], "--interval"),
        (["run", "--operation-timeout", "1e9"], "--operation-timeout"),
        (["run", "--nemesis", ""], "--nemesis '' is no list"),
        (["run", "--nemesis", "netwrk"], "did you mean network? (`splitbrain list nemeses` lists"),
        (["run", "--option", "heartbeat=20"], "no option 'heartbeat'; did you mean heartbeat_ms?"),
        (["run", "--nemesis", "kill,"], "--nemesis 'kill,' is no list"),
        (["run", "--nemesis", "none,kill"], "`none` stands alone"),
        (["run", "--option", "bugs"], "is not NAME=VALUE"),
        (["run", "--option", 'bugs=["x"]'], "raft has no bug 'x'"),
        (["run", "--parameter", "ops_per_key"], "--parameter 'ops_per_key' is not NAME=VALUE"),
        (["run", "--parameter", "ops_per_ky=5"], "'ops_per_ky'; did you mean ops_per_key?"),
        (["run", "--schedule", "missing.json"], "there is no file missing.json"),
        (["run", "--schedule", "a.json", "--resolved", "b.json"], "exclude each other"),
        (["run", "--system", "nowhere.py:System"], "there is no file nowhere.py"),
        (["run", "--system", "plain.py"], "name the class in it: plain.py:Plain"),
        (["run", "--checker", "gone.py"], "there is no file gone.py"),
        (["run", "--cluster", "sim", "--disk", "ext4"], "--disk is for --cluster embedded alone"),
        (["run", "--cluster", "ssh:a,b", "--messages"], "--messages is for --cluster sim alone"),
        (["run", "--nemesis", "plain.py:Plain"], "Plain is no nemesis: it lacks"),
        (["run", "--checker", "plain.py:Missing"], "'Missing' (it defines: Plain)"),
        (["run", "--checker", "crash.py:Any"], "cannot be imported: ZeroDivisionError"),
        (["check", "missing.jsonl"], "missing.jsonl"),
        (["check", "."], "holds no journal"),
        (["check"], "PATHS"),
        (["check", "empty"], "empty/journal is empty: whoever made it ended before anything was"),
        (["shrink", "."], ". is a directory, but not that of a run: it holds no journal"),
        (["check", "a", "b", "--checker", "nothing"], "there is no checker 'nothing'"),
        (["check", "a", "b", "--model", "no-such"], "there is no model 'no-such'; there are regis"),
        (["check", "x" * 5000], "cannot be read: File name too long"),
        (["show", "x" * 5000], "cannot be read: File name too long"),
        (["run", "--schedule", "x" * 5000], "cannot be read: File name too long"),
        (["run", "--resolved", "x" * 5000], "cannot be read: File name too long"),
        (["check", "line\nbreak\x1b[31m"], "there is no file line\\nbreak\\x1b[31m"),
        (["show"], "holds no run yet"),
        (["show", "nothing"], "there is no run at nothing"),
        (["show", "--json", "--diagram"], "--json and --diagram exclude each other"),
        (["list", "things"], "things"),
        (["list"], "Choose from: systems, workloads, nemeses, checkers, clusters, bugs"),
        (["no-such-command"], "no-such-command"),
    ],
)
def test_bad_usage_is_one_line_and_254(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "plain.py").write_text("from pathlib import Path\n\n\nclass Plain:\n    pass\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "journal").touch()
    (tmp_path / "crash.py").write_text("1 / 0\n")
    done = run_cli(*arguments, cwd=tmp_path)
    assert done.returncode == 254, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "store").exists()


MEMORY = Path(__file__).parent / "testdata" / "plugins" / "memory.py"


def test_what_cannot_be_had_there_is_bad_usage_and_said_alone(tmp_path: Path) -> None:
    place = ["--system", f"{MEMORY}:MemorySystem", "--cluster", f"{MEMORY}:MemoryCluster"]
    done = run_cli("run", *place, "--nemesis", "partition", cwd=tmp_path)
    assert done.returncode == exit_code.BAD_USAGE
    shown = run_cli("show", "store/latest", cwd=tmp_path)
    assert shown.returncode == exit_code.VALID
    said = "the nemesis 'partition' cannot work here: this cluster cannot cut its network"
    assert said in " ".join(shown.stdout.split())
    for noise in ("the harness", "checkers", "linearizable", "stats:"):
        assert noise not in shown.stdout
    assert run_cli("check", "store/latest", cwd=tmp_path).returncode == exit_code.BAD_USAGE


@pytest.mark.parametrize("count", ["1", "2"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nemesis", "stress"], "the nemesis 'stress' cannot work here: this cluster"),
        (["--nodes", "1", "--nemesis", "partition"], "a partition needs at least two nodes"),
        (["--nemesis", "none", "--workload", "cart"], "raft has no operation 'add'; it has read"),
    ],
)
def test_what_the_simulator_lacks_is_known_before_anything_starts(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    count: str,
    arguments: list[str],
    said: str,
) -> None:
    store = tmp_path / "store"
    place = ["--cluster", "sim", "--store", str(store), "--test-count", count]
    assert cli.run_command(["run", *place, *arguments]) == exit_code.BAD_USAGE
    out, err = capsys.readouterr()
    assert said in err
    assert (out, len(err.splitlines())) == ("", 1)
    assert not store.exists()


def test_a_diagram_says_where_it_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, file = ["--store", str(tmp_path)], tmp_path / "d.svg"
    load = ["--cluster", "sim", "--messages", "--nemesis", "none", "--time-limit", "0.5"]
    cli.run_command(["run", *load, *store])
    capsys.readouterr()
    assert cli.run_command(["show", *store, "--diagram", str(file)]) == exit_code.VALID
    assert capsys.readouterr().out == f"the diagram is written to {file}\n"
    assert file.read_text().startswith("<")


@pytest.mark.parametrize("file", [[], ["d.svg"]])
def test_a_run_without_messages_says_so_in_place_of_its_diagram(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    file: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    load = ["--messages", "--nemesis", "none", "--time-limit", "0.5"]
    cli.run_command(["run", "--cluster", "sim", *load])
    path = (tmp_path / "store" / "latest").resolve()
    (path / "messages.jsonl").write_bytes(b"")
    capsys.readouterr()
    assert cli.run_command(["show", "--diagram", *file]) == exit_code.VALID
    assert capsys.readouterr().out == f"no messages were sent in {path}\n"
    assert not (tmp_path / "d.svg").exists()


def test_a_schedule_with_a_mistake_is_named_with_its_fault_and_field(tmp_path: Path) -> None:
    fault = {"id": "a", "kind": "kill", "start": {"at_s": -1}}
    (tmp_path / "s.json").write_text(json.dumps({"version": 1, "faults": [fault]}))
    done = run_cli("run", "--schedule", "s.json", cwd=tmp_path)
    assert done.returncode == 254
    assert "s.json: fault 'a' of the schedule, start: 'at_s' must be a number" in done.stderr


_TRACED = {"source": "trace", "match": {"event": "lead"}}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"target": "n9"}, "'n9' is no target"),
        ({"target": ["n9"]}, "there is no node 'n9'"),
        ({"params": {"deamon": "node"}}, "params: there is no 'deamon' of kill; there are daemon"),
        (
            {"kind": "reboot", "params": {"s": 1}},
            "params: there is no 's' of reboot; there are none",
        ),
        ({"kind": "kil"}, "there is no nemesis 'kil'; did you mean kill?"),
        ({"params": {"daemon": "rfat"}}, "params: there is no daemon 'rfat'; did you mean raft?"),
        ({"start": {"after": "upset"}}, "start: 'after': it goes in a circle"),
        ({"start": {"at_s": 0.2}}, "start: 'at_s': it can start after 0.2 s at the earliest"),
        ({"kind": "partition", "params": {"shape": "third"}}, "'third' is no shape"),
        ({"kind": "clock", "params": {"offset": 1}}, "params: there is no 'offset' of clock"),
        ({"start": {"when": {**_TRACED, "node": "n9"}, "within_s": 1}}, "there is no node 'n9'"),
        (
            {"start": {"when": {**_TRACED, "match": {"term": {"at_least": "2"}}}, "within_s": 1}},
            "match: 'term' asks for {\"at_least\": NUMBER} alone",
        ),
    ],
)
def test_a_fault_that_cannot_be_used_is_named_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fields: dict[str, object], said: str
) -> None:
    fault = {"id": "upset", "kind": "kill", "start": {"at_s": 0.1}, **fields}
    file, store = tmp_path / "s.json", tmp_path / "store"
    file.write_text(json.dumps({"version": 1, "faults": [fault]}))
    arguments = ["run", "--cluster", "sim", "--schedule", str(file), "--store", str(store)]
    assert cli.run_command([*arguments, "--time-limit", "0.2"]) == exit_code.BAD_USAGE
    line = capsys.readouterr().err
    assert said in line
    assert line.startswith(f"splitbrain: {file}: ")
    assert "fault 'upset'" in line
    assert not store.exists()


@pytest.mark.parametrize(
    ("redirection", "code"),
    [
        (">&-", 1),
        ("2>&-", 1),
        (">&- 2>&- <&-", 1),
        ("--json >&-", 1),
        ("> /dev/full", 255),
        ("--json > /dev/full", 255),
        ("| head -c 1 > /dev/null; exit ${PIPESTATUS[0]}", 1),
    ],
)
def test_the_verdict_is_the_exit_code_whoever_reads(
    files: Path, redirection: str, code: int
) -> None:
    command = f"{sys.executable} -m splitbrain.cli check invalid.jsonl {redirection}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=files, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == code, done.stderr
    wanted = "splitbrain: cannot write the output: No space left on device\n" if code == 255 else ""
    assert done.stderr == wanted


SHORT_RUN = "--cluster sim --nodes 3 --nemesis none --time-limit 1 --concurrency 3 --seed 1"


@pytest.mark.parametrize("count", ["", "--test-count 2"])
@pytest.mark.parametrize(
    ("redirection", "code"),
    [
        ("| true; exit ${PIPESTATUS[0]}", 0),
        ("| grep -m1 judging > /dev/null; exit ${PIPESTATUS[0]}", 0),
        ("2>&1 | true; exit ${PIPESTATUS[0]}", 0),
        ("> /dev/full", 255),
    ],
)
def test_a_run_goes_on_and_keeps_its_code_whoever_reads(
    tmp_path: Path, count: str, redirection: str, code: int
) -> None:
    command = f"{sys.executable} -m splitbrain.cli run {SHORT_RUN} {count} {redirection}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    wanted = "splitbrain: cannot write the output: No space left on device\n" if code == 255 else ""
    assert done.stderr == wanted
    kept = list(tmp_path.glob("store/*/seeds-*.json" if count else "store/*/*/result.json"))
    assert len(kept) == 1


def test_no_command_shows_what_there_is_and_is_bad_usage(tmp_path: Path) -> None:
    done = run_cli(cwd=tmp_path)
    assert done.returncode == 254
    assert "doctor" in done.stdout
    assert done.stderr == ""


def test_several_paths_are_summed_up_but_not_in_json(files: Path) -> None:
    arguments = ["check", "valid.jsonl", "invalid.jsonl", "missing.jsonl"]
    done = run_cli(*arguments, cwd=files)
    lines = done.stdout.splitlines()
    assert lines[-1] == "3 in all: 1 valid, 1 unknown, 1 invalid"
    assert [line.split()[0] for line in lines[-4:-1]] == ["VALID", "INVALID", "UNKNOWN"]
    assert "there is no file missing.jsonl" in lines[-2]
    assert "in all" not in run_cli(*arguments, "--json", cwd=files).stdout
    assert "in all" not in run_cli("check", "valid.jsonl", cwd=files).stdout


def test_several_seeds_are_summed_up(tmp_path: Path) -> None:
    place = ["--system", f"{MEMORY}:MemorySystem", "--cluster", f"{MEMORY}:MemoryCluster"]
    load = ["--nodes", "3", "--nemesis", "none", "--time-limit", "0.3", "--seed", "5"]
    done = run_cli("run", *place, *load, "--test-count", "3", cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[-1] == "3 in all: 3 valid", done.stdout + done.stderr
    assert ["seed 5" in lines[-4], "seed 6" in lines[-3], "seed 7" in lines[-2]] == [True] * 3
    done = run_cli("run", *place, *load, "--test-count", "2", "--json", cwd=tmp_path)
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == ["valid"] * 2


def test_list_gives_names_as_json_lines(tmp_path: Path) -> None:
    done = run_cli("list", "bugs", "--json", cwd=tmp_path)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["name"] for row in rows} >= {"stale-read", "forgotten-vote", "unverified-commit"}
    columns = ("system", "summary", "workload", "checker", "anomaly", "origin", "schedule")
    assert all(row[column] for row in rows for column in columns)
    fields = {field.name for field in dataclasses.fields(PlantedBug)} - {"promise"}
    assert all(fields <= set(row) for row in rows)


def test_a_list_of_bugs_says_whose_they_are_and_who_finds_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run_command(["list", "bugs"]) == exit_code.VALID
    told = " ".join(capsys.readouterr().out.split())
    assert "stale-read a read returns the newest value, whoever leads (raft; linear" in told


@pytest.mark.parametrize("what", ["systems", "workloads", "nemeses", "checkers", "clusters"])
def test_list_shows_every_role(tmp_path: Path, what: str) -> None:
    done = run_cli("list", what, cwd=tmp_path)
    assert done.returncode == 0
    assert len(done.stdout.strip().splitlines()) >= 1


def test_an_unexpected_error_is_one_line_with_its_traceback_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(*_: object, **__: object) -> int:
        message = "boom"
        raise ZeroDivisionError(message)

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(cli.commands, "main", crash)
    assert cli.run_command(["list", "systems"]) == exit_code.FAILED
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "boom" in said
    assert "ZeroDivisionError: boom" in (tmp_path / "splitbrain" / "crash.log").read_text()


def by_ctrl_c(error: BaseException) -> BaseException:
    """Give an error as C code and plug-ins make it of a Ctrl-C that strikes in them."""
    error.__cause__ = KeyboardInterrupt()
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), exit_code.UNKNOWN),
        (by_ctrl_c(SystemError("returned a result with an exception set")), exit_code.UNKNOWN),
        (by_ctrl_c(UsageError("it.py cannot be imported")), exit_code.UNKNOWN),
        (UsageError("no"), exit_code.BAD_USAGE),
        (HarnessError("no"), exit_code.FAILED),
    ],
)
def test_what_escapes_a_command_becomes_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def escape(*_: object, **__: object) -> int:
        raise error

    monkeypatch.setattr(cli.commands, "main", escape)
    assert cli.run_command([]) == code


@pytest.mark.parametrize(
    "made_of_it",
    ["KeyboardInterrupt", "RuntimeError('__set_name__') from pressed", "SystemError from None"],
)
def test_ctrl_c_while_the_program_is_still_starting_is_one_line(
    tmp_path: Path, made_of_it: str
) -> None:
    (tmp_path / "rich_click.py").write_text(
        "import os, signal\n\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n"
        f"except KeyboardInterrupt as pressed:\n    raise {made_of_it}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "splitbrain", "list", "systems"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (exit_code.UNKNOWN, "splitbrain: interrupted\n")


@pytest.mark.parametrize(
    ("then", "lost"),
    [
        ("raise SystemError('returned a result with an exception set')", "forgetful"),
        ("return valid()", "stats"),
    ],
)
def test_a_ctrl_c_that_is_lost_in_c_code_is_an_interruption(
    tmp_path: Path, then: str, lost: str
) -> None:
    (tmp_path / "forgetful.py").write_text(
        "import os, signal\n\n"
        "from splitbrain.core.verdict import valid\n\n\n"
        "class Forgetful:\n"
        "    name, needs = 'forgetful', frozenset()\n\n"
        "    def parameters(self):\n"
        "        return {}\n\n"
        "    def check(self, evidence):\n"
        "        try:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "        except KeyboardInterrupt:\n"
        "            pass\n"
        f"        {then}\n"
    )
    (tmp_path / "valid.jsonl").write_text(VALID)
    asked = ["check", "valid.jsonl", "--checker", "forgetful.py:Forgetful", "--checker", "stats"]
    done = subprocess.run(
        [sys.executable, "-m", "splitbrain", *asked],
        cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == exit_code.UNKNOWN
    assert f"{lost}: interrupted before it was judged" in done.stdout
    assert "SystemError" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("codes", "worst"),
    [([0, 2, 1, 254, 255], 255), ([1, 254], 254), ([2, 1, 0], 1), ([0, 2], 2), ([0], 0), ([], 2)],
)
def test_the_worst_of_several_codes(codes: list[int], worst: int) -> None:
    assert exit_code.worst_code(codes) == worst
