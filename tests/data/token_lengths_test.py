import numpy as np
import pytest

from behavior_lm.data.token_lengths import FOLDER
from behavior_lm.data.token_lengths import token_lengths
from behavior_lm.data.token_source import open_tokens
from behavior_lm.data.tokenizers.training import train_tokenizer
from behavior_lm.logs.dataset import open_dataset
from tests.tiny import tiny_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
  return open_dataset(tiny_dataset(tmp_path_factory.mktemp("data")))


def bpe(dataset):
  return train_tokenizer(
      dataset, "bpe", vocab_size=80, alphabet_size=40, sessions="60"
  )


def test_lengths_are_those_of_the_tokens(dataset):
  tokens = open_tokens(dataset, "train", bpe(dataset))
  want = [len(tokens[i]["tokens"]) for i in range(len(tokens))]
  for _ in range(2):  # counted, then read
    got = token_lengths(dataset, "train", tokens)
    np.testing.assert_array_equal(got, want)
  assert sum(want) < dataset.meta["splits"]["train"]["num_events"] / 2


def test_pair_tokens_are_as_many_as_events(dataset):
  tokens = open_tokens(
      dataset, "test", train_tokenizer(dataset, vocab_size=50)
  )
  got = token_lengths(dataset, "test", tokens)
  assert got.tolist() == dataset.sequences("test")["num_events"].to_list()


def test_each_tokenizer_and_split_has_a_file_of_its_own(dataset):
  one, other = bpe(dataset), train_tokenizer(
      dataset, "bpe", vocab_size=60, alphabet_size=40, sessions="60"
  )
  for tokenizer in (one, other):
    for split in ("train", "test"):
      tokens = open_tokens(dataset, split, tokenizer)
      got = token_lengths(dataset, split, tokens)
      assert len(got) == len(tokens)
  assert len(list((dataset.path / FOLDER).glob("*.npy"))) == 4


@pytest.mark.parametrize("content", [b"", b"junk"])
def test_a_damaged_file_is_counted_anew(dataset, content):
  tokens = open_tokens(dataset, "train", bpe(dataset))
  want = token_lengths(dataset, "train", tokens)
  for file in (dataset.path / FOLDER).glob("train-*.npy"):
    file.write_bytes(content)
  got = token_lengths(dataset, "train", tokens)
  np.testing.assert_array_equal(got, want)


def test_a_folder_that_cannot_be_written_costs_only_time(dataset):
  (dataset.path / FOLDER).mkdir(exist_ok=True)
  for file in (dataset.path / FOLDER).iterdir():
    file.unlink()
  (dataset.path / FOLDER).rmdir()
  (dataset.path / FOLDER).write_text("in the way")
  try:
    tokens = open_tokens(dataset, "train", bpe(dataset))
    assert token_lengths(dataset, "train", tokens).sum() > 0
  finally:
    (dataset.path / FOLDER).unlink()
