import json

from hypothesis import given
from hypothesis import strategies as st
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema
from behavior_lm.logs.readers import jsonl
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import sources
from behavior_lm.logs.readers import text_lines

_GOOD = '{"user_id":"u","event_id":"e","design_id":"d","timestamp":"t"}'


def read(folder, content, mapping=None):
  path = folder / "log.jsonl"
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  rejected = quarantine.Quarantine(folder / "quarantine.jsonl")
  [source] = sources.find_sources(str(path)).files
  frames = list(jsonl.read_jsonl(source, mapping or {}, "utf-8", rejected))
  rejected.close()
  rows = [row for frame in frames for row in frame.iter_rows()]
  text = (folder / "quarantine.jsonl").read_text()
  bad = [json.loads(line) for line in text.splitlines()]
  return rows, [(line["row"], line["reason"]) for line in bad]


_VALUES = st.one_of(
    st.none(),
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
        max_size=5,
    ),
    st.integers(-(2**53), 2**53),
    st.booleans(),
)


@given(
    st.lists(
        st.fixed_dictionaries(dict.fromkeys(schema.EVENT_COLUMNS, _VALUES)),
        min_size=1,
        max_size=30,
    ),
    st.booleans(),
)
def test_the_fast_and_the_slow_way_read_the_same(
    tmp_path_factory, objects, in_ascii
):
  folder = tmp_path_factory.mktemp("json")
  lines = [json.dumps(o, ensure_ascii=in_ascii) for o in objects]
  fast, bad = read(folder, "\n".join(lines) + "\n")
  assert bad == []
  with pytest.MonkeyPatch.context() as patch:

    def fail(*args, **kwargs):
      raise pl.exceptions.ComputeError("slow way, please")

    patch.setattr(pl, "read_ndjson", fail)
    slow, bad = read(folder, "\n".join(lines) + "\n")
  assert bad == []
  assert fast == slow
  assert len(fast) == len(objects)


@pytest.mark.parametrize(
    "line",
    [
        '{"user_id":"u"', "5", "[1,2]", "null", _GOOD + "x", _GOOD + _GOOD,
        '{"user_id":NaN}', "{'user_id':1}", '{"user_id":"\\udc00"}', "}{",
        "[" * 5_000, '{"a":' * 5_000,
    ],  # fmt: skip
)
def test_a_line_that_is_no_object_costs_itself_alone(tmp_path, line):
  lines = [_GOOD] * 300
  lines[200] = line
  rows, bad = read(tmp_path, "\n".join(lines) + "\n")
  assert bad == [(201, quarantine.BROKEN_JSON)]
  assert [row[0] for row in rows] == [*range(1, 201), *range(202, 301)]


def test_keys_may_be_missing_and_more_may_be_there(tmp_path):
  lines = [
      '{"user_id":1,"event_id":2,"timestamp":3.5,"level":[1]}',
      "",
      '{"timestamp":4,"event_id":"e","design_id":7}',
  ]
  rows, bad = read(tmp_path, "\r\n".join(lines))
  assert bad == []
  assert rows == [
      (1, "1", "2", None, "3.5"),
      (3, None, "e", "7", "4"),
  ]


def test_a_design_that_comes_late_is_found(tmp_path):
  without = '{"user_id":"u","event_id":"e","timestamp":"t"}\n'
  rows, _ = read(tmp_path, without * 2_000 + _GOOD)
  assert rows[-1] == (2_001, "u", "e", "d", "t")


def test_a_cut_off_last_line_is_rejected(tmp_path):
  rows, bad = read(tmp_path, _GOOD + "\n" + _GOOD[:-5])
  assert len(rows) == 1
  assert bad == [(2, quarantine.CUT_OFF)]


def test_lines_that_are_no_text_are_rejected(tmp_path):
  good = _GOOD.encode()
  rows, bad = read(
      tmp_path, good.replace(b'"e"', b'"\xff"') + b"\n" + good + b"\n"
  )
  assert bad == [(1, quarantine.BAD_ENCODING)]
  assert [row[0] for row in rows] == [2]


def test_chunks_keep_the_line_numbers(tmp_path, monkeypatch):
  monkeypatch.setattr(text_lines, "CHUNK_BYTES", 100)
  rows, _ = read(tmp_path, (_GOOD + "\n\n") * 50)
  assert [row[0] for row in rows] == list(range(1, 100, 2))


def test_an_array_is_read_like_lines_with_its_elements_numbered(tmp_path):
  want = [(n, "u", "e", "d", "t") for n in (1, 3)]
  array = f"[\n{_GOOD},5,\n{_GOOD}\n]\n"
  assert read(tmp_path, array) == (want, [(2, quarantine.BROKEN_JSON)])
  assert read(tmp_path, "[]") == ([], [])


def test_extras_are_yielded_as_text(tmp_path):
  path = tmp_path / "log.jsonl"
  path.write_text(
      _GOOD[:-1] + ',"lvl":7.5}\n' + _GOOD + "\n" + _GOOD[:-1] + ',"lvl":[1]}'
  )
  rejected = quarantine.Quarantine(tmp_path / "quarantine.jsonl")
  [source] = sources.find_sources(str(path)).files
  [frame] = jsonl.read_jsonl(
      source, {"level": "lvl"}, "utf-8", rejected, ("level",)
  )
  rejected.close()
  assert frame["level"].to_list() == ["7.5", None, "[1]"]


def test_extras_may_be_optional(tmp_path):
  path = tmp_path / "log.jsonl"
  path.write_text(_GOOD)
  rejected = quarantine.Quarantine(tmp_path / "quarantine.jsonl")
  [source] = sources.find_sources(str(path)).files
  with pytest.raises(UserError, match="no column 'level'"):
    list(jsonl.read_jsonl(source, {}, "utf-8", rejected, ("level",)))
  [frame] = jsonl.read_jsonl(
      source, {}, "utf-8", rejected, ("level",), optional=("level",)
  )
  rejected.close()
  assert frame["level"].to_list() == [None]


def test_a_missing_key_is_named(tmp_path):
  with pytest.raises(UserError) as caught:
    read(tmp_path, '{"uid":1,"event_id":2,"timestamp":3}\n')
  assert str(caught.value) == (
      "log.jsonl: no column 'user_id'. Its columns: 'uid', 'event_id',"
      " 'timestamp'. Name the right one with --columns user_id=THEIR_NAME."
  )


def test_a_mapping_renames_keys(tmp_path):
  rows, _ = read(
      tmp_path,
      '{"uid":1,"event_id":2,"timestamp":3,"item":7}\n',
      {"user_id": "uid", "design_id": "item"},
  )
  assert rows == [(1, "1", "2", "7", "3")]
