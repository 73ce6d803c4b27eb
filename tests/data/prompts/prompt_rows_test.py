import numpy as np
import pytest

from behavior_lm.data.prompts.prompt_rows import encode_prompts
from behavior_lm.data.prompts.prompt_rows import prompt_rows
from behavior_lm.data.text.wordpiece import SPECIAL
from behavior_lm.data.text.wordpiece import WordPiece

TOKENIZER = WordPiece([*SPECIAL, "a", "b", "c"])


def test_a_prompt_is_cls_soft_prompt_text_sep_and_loses_its_end():
  found = encode_prompts(["a b c", "", "c"], TOKENIZER, 5, soft_ids=[8, 9])
  assert [one.tolist() for one in found] == [
      [2, 8, 9, 5, 3], [2, 8, 9, 3], [2, 8, 9, 7, 3]
  ]
  with pytest.raises(ValueError, match="no room"):
    encode_prompts(["a"], TOKENIZER, 4, soft_ids=[8, 9])


def test_packed_rows_hold_each_prompt_with_its_label():
  texts = ["a", "a b c", "b", "c c", "a b"]
  tokens = encode_prompts(texts, TOKENIZER, 5)
  labels = np.arange(5)[:, None]
  rows = prompt_rows(tokens, labels, max_length=8, max_segments=3, train=False)
  found = {}
  for number in range(len(rows)):
    row = rows[number]
    for segment, sample in enumerate(row["sample"]):
      inside = row["segment_ids"] == segment + 1
      if sample < 0:
        assert not inside.any() and row["weights"][segment] == 0
        continue
      found[int(sample)] = row["tokens"][inside].tolist()
      assert row["labels"][segment] == sample and row["weights"][segment] == 1
      assert row["positions"][inside].tolist() == list(range(inside.sum()))
      assert not row["time_gaps"][inside].any()
  assert found == {n: one.tolist() for n, one in enumerate(tokens)}
  # Five prompts of 3 to 5 tokens take no more rows than they must.
  assert len(rows) == 3
