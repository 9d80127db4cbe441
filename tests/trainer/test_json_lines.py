import json
import math

from trainer.json_lines import JsonLines, read_lines


def test_lines_come_back(tmp_path):
    path = tmp_path / "lines.jsonl"
    assert read_lines(path) == []
    lines = JsonLines(path)
    lines.write({"step": 1, "loss": math.inf})
    lines.write({"step": 2, "loss": math.nan, "views": ["a"]})
    assert read_lines(path) == [{"step": 1, "loss": None}, {"step": 2, "loss": None, "views": ["a"]}]
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=lambda name: 1 / 0)


def test_a_line_that_was_cut_short_spoils_no_other(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo')
    lines = JsonLines(path)
    lines.write({"step": 2})
    lines.write({"step": 3})
    assert [line["step"] for line in read_lines(path)] == [1, 2, 3]
    assert len(path.read_text().splitlines()) == 4
