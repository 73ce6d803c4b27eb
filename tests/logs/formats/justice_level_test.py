import json

from tests.logs.formats import reading

_TEXTS = ["2019-12-04 00:34:58#085#400587#0", "2019-12-04 01:23:25##ai#161"]
_WANT = [
    ("7001", "400587", "0", "2019-12-04T00:34:58Z", 85.0),
    ("7001", "ai", "161", "2019-12-04T01:23:25Z", None),
]


def test_a_list_and_lines_read_the_same(tmp_path):
  listed = tmp_path / "204.2019-12-04" / "7001"
  listed.parent.mkdir()
  listed.write_text(json.dumps(_TEXTS))
  lines = reading.write(tmp_path / "lines" / "7001", *_TEXTS)
  assert reading.events(listed, "justice_level", tmp_path) == _WANT
  assert reading.events(lines, "justice_level", tmp_path) == _WANT
  bare = [row[:-1] for row in _WANT]
  assert reading.events(lines, "justice_level", tmp_path, extras=()) == bare


def test_what_is_no_such_text_is_rejected(tmp_path):
  log = tmp_path / "7001"
  log.write_text(json.dumps([*_TEXTS, "a#b#c", 5, {"a": "x#x#x#x"}]))
  found, bad = reading.read(log, "justice_level", tmp_path)
  assert reading.as_rows(found) == _WANT
  why = "wrong number of fields"
  assert bad[:2] == [(3, why), (4, why)]
  assert bad[2][0] == 5
  log.write_text("\n".join([*_TEXTS, "2019-12-04 00:3"]))
  found, bad = reading.read(log, "justice_level", tmp_path)
  assert (found.height, bad) == (2, [(3, "cut-off last row")])
