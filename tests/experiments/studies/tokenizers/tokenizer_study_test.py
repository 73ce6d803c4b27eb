import json

import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers.training import train_tokenizer
from behavior_lm.logs.dataset import open_dataset
from experiments.studies.tokenizers import tokenizer_study
from tests.tiny import tiny_dataset

SETTINGS = (
    "pair,vocab_size=60",
    "bpe,vocab_size=80,alphabet_size=40,sessions=60",
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
  return open_dataset(tiny_dataset(tmp_path_factory.mktemp("data")))


def test_rows_say_what_each_tokenizer_makes_of_the_log(dataset):
  said = []
  pair, bpe = tokenizer_study.study(dataset, SETTINGS, "test", said.append)
  assert len(said) == 2
  meta = dataset.meta["splits"]["test"]
  assert pair["compression"] == 1
  assert pair["mean_tokens"] * meta["num_sequences"] == meta["num_events"]
  assert bpe["compression"] > 2
  for row in (pair, bpe):
    assert sum(row["coverage"].values()) == pytest.approx(1)
    assert row["mean_events"] / row["mean_tokens"] == pytest.approx(
        row["compression"]
    )
    assert row["encode_events_per_second"] > 0
    ranks, counts = zip(*row["frequencies"], strict=True)
    assert ranks[0] == 1 and list(counts) == sorted(counts, reverse=True)
    json.dumps(row)
  assert pair["pieces"]["num_chains"] == 0
  longest = bpe["pieces"]["longest"][0]
  assert longest["events"] == len(longest["name"].split()) > 2


def test_a_round_trip_counts_every_event(dataset):
  tokenizer = train_tokenizer(
      dataset, **tokenizer_study.read_settings(SETTINGS[1])
  )
  want = sum(part["num_events"] for part in dataset.meta["splits"].values())
  assert tokenizer_study.check_round_trip(tokenizer, dataset) == want


def test_an_event_that_does_not_come_back_is_an_error(dataset):
  class Forgetful:
    def encode(self, events, designs, timestamps):
      return events

    def decode(self, encoding):
      return [(event, "0") for event in encoding]

  with pytest.raises(RuntimeError, match="did not come back"):
    tokenizer_study.check_round_trip(Forgetful(), dataset)


def test_the_list_of_the_study_can_be_read():
  for text in tokenizer_study.STUDY:
    assert tokenizer_study.read_settings(text)["vocab_size"] >= 7_000


@pytest.mark.parametrize("text, message", [
    ("pair", "have no vocab_size"),
    ("pair,vocab_size=many", "'vocab_size=many'"),
    ("bpe,vocab_size=9,sep_tokens=1", "'sep_tokens=1'"),
    ("bpe,vocab_size=9,colour=red", "'colour=red'"),
])
def test_settings_that_cannot_be_read_are_named(text, message):
  with pytest.raises(UserError, match=message):
    tokenizer_study.read_settings(text)
