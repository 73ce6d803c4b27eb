import gzip
import json

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs.readers import json_array
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import text_lines
from behavior_lm.logs.readers.source_file import compression_of
from behavior_lm.logs.readers.source_file import JSONL
from behavior_lm.logs.readers.source_file import Source


def source_of(folder, content):
  path = folder / "log.json"
  data = content if isinstance(content, bytes) else content.encode()
  path.write_bytes(data)
  return Source(path, "log.json", JSONL, compression_of(data), len(data))


def read(folder, content, block=None, batch=None, encoding="utf-8"):
  """[(number, element)] and [(number, reason)]."""
  source = source_of(folder, content)
  rejected = quarantine.Quarantine(folder / "quarantine.jsonl")
  found = []
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(text_lines, "CHUNK_BYTES", block or text_lines.CHUNK_BYTES)
    patch.setattr(json_array, "_BATCH", batch or json_array._BATCH)
    assert json_array.is_array(source, encoding)
    for first, data, _ in json_array.read_elements(source, encoding, rejected):
      assert data.endswith(b"\n")
      for place, line in enumerate(data.split(b"\n")[:-1]):
        found.append((first + place, line))
  rejected.close()
  text = (folder / "quarantine.jsonl").read_text()
  bad = [json.loads(line) for line in text.splitlines()]
  return found, [(line["row"], line["reason"]) for line in bad]


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.integers()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=50)
@given(
    st.lists(_JSON, max_size=12),
    st.sampled_from([None, 1, 4]),
    st.integers(1, 40),
    st.booleans(),
)
def test_every_array_gives_its_elements_whatever_the_blocks(
    tmp_path_factory, elements, indent, block, in_ascii
):
  folder = tmp_path_factory.mktemp("json")
  text = json.dumps(elements, indent=indent, ensure_ascii=in_ascii)
  data = text.encode("utf-8", "replace")
  elements = json.loads(data)
  found, bad = read(folder, b" \n" + data + b"\n", block=block, batch=30)
  assert bad == []
  assert [number for number, _ in found] == list(range(1, len(elements) + 1))
  assert [json.loads(line) for _, line in found] == elements


@pytest.mark.parametrize("block", range(1, 8))
def test_numbers_may_lie_across_blocks(tmp_path, block):
  text = "[1.5, -2e-7,3E+2 ,1, -0.25,12345]"
  found, bad = read(tmp_path, text, block=block)
  assert [json.loads(line) for _, line in found] == json.loads(text)
  assert bad == []


def test_wherever_the_file_is_cut_off_whole_elements_are_kept(tmp_path):
  elements = [{"a": 'x"]},\\'}, [1.5, None], "x\ny", {"b": {"c": [True]}}]
  text = json.dumps(elements)
  ends = [len(json.dumps(elements[:n])) - 1 for n in range(1, 5)]
  for cut in range(1, len(text)):
    found, bad = read(tmp_path, text[:cut])
    assert [json.loads(line) for _, line in found] == elements[: len(found)]
    # Of a number at the end nobody knows; all the others are found.
    assert len(found) >= sum(end < cut for end in ends), text[:cut]
    assert bad == [(len(found) + 1, quarantine.CUT_OFF)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('[{"a": 1} {"a": 2}, {"a": 3333333}]', "element 2 .*no comma"),
        ('[{"a": 1}, {"a" 2}, {"a": 3333333}]', "element 2 .*delimiter"),
        ('[{"a": 1}, x, {"a": 3}, {"a": 333}]', "element 2 .*expecting value"),
        ('[{"a": 1}] {"a": 2}', "element 2 .*stands behind the array"),
        ("[" + "[" * 100_000 + "]" * 100_001, "element 1 .*nested too deep"),
    ],
)
def test_a_broken_array_is_refused_with_the_element(tmp_path, text, what):
  with pytest.raises(UserError, match=what):
    read(tmp_path, text)


def test_a_byte_that_is_no_text_stays_in_its_element(tmp_path):
  found, bad = read(tmp_path, b'["a", "\xff", "b"]')
  assert found == [(1, b'"a"'), (2, b'"\xff"'), (3, b'"b"')]
  assert bad == []


def test_other_encodings_and_gzip_are_read(tmp_path):
  text = '["\u7389", 1]'
  want = [(1, '"\u7389"'.encode()), (2, b"1")]
  for encoding in ("utf-8", "gbk", "utf-16", "utf-8-sig"):
    data = gzip.compress(text.encode(encoding))
    assert read(tmp_path, data, encoding=encoding) == (want, []), encoding


def test_lines_are_no_array(tmp_path):
  for text in ('{"a": [1]}\n[2]', "", " \n"):
    assert not json_array.is_array(source_of(tmp_path, text), "utf-8")
