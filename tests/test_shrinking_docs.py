"""What docs/shrinking.md shows is what the commands say."""

from __future__ import annotations

import re
from pathlib import Path

from splitbrain.cli import run_command

PAGE = (Path(__file__).parent.parent / "docs" / "shrinking.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_the_minimal_history_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("stale.jsonl").write_text(blocks("json")[0])
    assert run_command(["check", "stale.jsonl", "--minimize"]) == 1
    assert blocks("text")[0] in capsys.readouterr().out
    assert Path("stale.minimal.linearizable.jsonl").is_file()


def test_the_diagram_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "110")
    assert run_command(["run", "--bug", "forgotten-vote", "--cluster", "sim", "--seed", "1"]) == 1
    assert run_command(["shrink", "store/latest"]) == 1
    capsys.readouterr()
    assert run_command(["show", "--diagram"]) == 0
    drawn = capsys.readouterr().out.splitlines()
    lines = blocks("text")[1].splitlines()
    assert [line for line in drawn if line in lines] == lines
