import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.text import load_text_tokenizer
from behavior_lm.data.text.tokenizer_json import FILE
from behavior_lm.data.text.wordpiece import WordPiece
from tests.data.text.wordpiece_test import original
from tests.data.text.wordpiece_test import PIECES


def test_a_tokenizer_json_is_read_through_the_package(tmp_path):
  original(True).save(str(tmp_path / FILE))
  made = load_text_tokenizer(tmp_path)
  texts = ["Unable $5", "", "日本 zebra"]
  assert made.encode(texts) == WordPiece(PIECES).encode(texts)
  assert (made.vocab_size, made.cls_id, made.sep_id) == (len(PIECES), 2, 3)
  made.save(tmp_path / "copy")
  assert load_text_tokenizer(tmp_path / "copy").fingerprint == made.fingerprint


def test_a_damaged_file_is_refused(tmp_path):
  (tmp_path / FILE).write_text("{}")
  with pytest.raises(UserError, match="is no tokenizer"):
    load_text_tokenizer(tmp_path)
