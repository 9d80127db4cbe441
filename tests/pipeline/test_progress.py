"""The progress bar: one line where nobody watches, shards counted where their number is known."""

import io

import pytest
from rich.console import Console

from pipeline.work import progress
from pipeline.work.progress import progress_bar


def printed(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, total_items: int | None) -> str:
    """What a bar prints over 100 items, 40 of which an earlier call had done."""
    stream = io.StringIO()
    monkeypatch.setattr(progress, "CONSOLE", Console(file=stream, force_terminal=terminal, width=120))
    with progress_bar("convert x", total_nbytes=100 * 2**20, total_items=total_items) as advance:
        advance(40 * 2**20, items=40)
        for _ in range(60):
            advance(2**20)
    return stream.getvalue()


def test_a_log_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = printed(monkeypatch, terminal=False, total_items=100).splitlines()
    assert line.startswith("convert x")
    assert "100/100 shards 100.0/100.0 MiB" in line
    assert "\x1b" not in line


def test_bytes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    line = printed(monkeypatch, terminal=False, total_items=None)
    assert "shards" not in line
    assert "100.0/100.0 MiB" in line


def test_a_terminal_sees_it_move(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = printed(monkeypatch, terminal=True, total_items=100)
    assert "\x1b[" in moved
    assert "100/100 shards" in moved
