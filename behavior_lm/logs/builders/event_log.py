"""TFDS files of event sequences: array_record, no TensorFlow.

Shard by shard: a worker writes a shard knowing nothing of the others, and the
description that TFDS reads is written when all are there. TFDS' own builders
would keep a whole split in memory or need one process for all shards.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import contextlib
import io
import pathlib
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from behavior_lm.logs import checksum
from behavior_lm.logs import schema
from behavior_lm.logs.builders import tf_example

Example = dict[str, Any]

NAME = "event_log"
VERSION = "3.0.0"
# Where the files are below the folder of a dataset's TFDS files.
FOLDER = pathlib.PurePosixPath(NAME, VERSION)

# Events that are encoded together.
_GROUP_EVENTS = 200_000
_FILE_FORMAT = tfds.core.file_adapters.FileFormat.ARRAY_RECORD


def features(extras: schema.Kinds) -> tfds.features.FeaturesDict:
  """What an example holds: the events of a sequence, an array per column."""
  return tfds.features.FeaturesDict({
      schema.USER_ID: tfds.features.Text(),
      # Microseconds UTC of the first event.
      "start": tfds.features.Scalar(np.int64),
      # Row of pairs.parquet; a Tensor, since Sequence is slow here.
      "pair": tfds.features.Tensor(shape=(None,), dtype=np.int32),
      schema.TIMESTAMP: tfds.features.Tensor(shape=(None,), dtype=np.int64),
      checksum.FIELD: tfds.features.Scalar(np.int64),
  } | {
      # As bytes: TFDS would store numbers of 64 bits with 32 otherwise.
      name: tfds.features.Tensor(
          shape=(None,),
          dtype=schema.EXTRA_DTYPES[kind].type,
          encoding=tfds.features.Encoding.BYTES,
      )
      for name, kind in extras.items()
  })  # fmt: skip


def shard_name(split: str, number: int, count: int) -> str:
  """File name of one of `count` shards of a split."""
  return f"{NAME}-{split}.array_record-{number:05d}-of-{count:05d}"


def write_shard(
    path: pathlib.Path, examples: Iterable[Example], extras: schema.Kinds
) -> int:
  """Writes the file of one shard and returns its number of examples.

  Args:
    path: of the file; one that is there is replaced.
    examples: user_id, start, pair, timestamp and extras, in their order.
    extras: kinds of the extra columns.
  """
  count = 0

  def records() -> Iterator[tuple[int, bytes]]:
    nonlocal count
    for group in _groups(examples):
      crcs = [
          checksum.example_crc(example, place, extras)
          for place, example in enumerate(group, count)
      ]
      for record in tf_example.encode(group, crcs, checksum.FIELD, extras):
        yield count, record
        count += 1

  adapter = tfds.core.file_adapters.ADAPTER_FOR_FORMAT[_FILE_FORMAT]
  adapter.write_examples(path, records())
  return count


def _groups(examples: Iterable[Example]) -> Iterator[list[Example]]:
  """Examples to encode together; a long one is alone."""
  group: list[Example] = []
  events = 0
  for example in examples:
    size = len(example["pair"])
    if group and events + size > _GROUP_EVENTS:
      yield group
      group, events = [], 0
    group.append(example)
    events += size
  if group:
    yield group


def write_metadata(
    folder: pathlib.Path,
    shard_lengths: Mapping[str, Sequence[int]],
    extras: schema.Kinds,
) -> None:
  """Describes shards that are there, so that TFDS can read them.

  Args:
    folder: of the shards, under the names that `shard_name` gives.
    shard_lengths: for each split the number of examples of each shard.
    extras: kinds of the extra columns.
  """
  splits = []
  for split, lengths in shard_lengths.items():
    files = [
        folder / shard_name(split, number, len(lengths))
        for number in range(len(lengths))
    ]
    template = tfds.core.ShardedFileTemplate(
        data_dir=folder,
        dataset_name=NAME,
        split=split,
        filetype_suffix=_FILE_FORMAT.value,
    )
    splits.append(
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=list(lengths),
            num_bytes=sum(file.stat().st_size for file in files),
            filename_template=template,
        )
    )
  # TFDS prints what a person who prepares a log need not read.
  with contextlib.redirect_stdout(io.StringIO()):
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features(extras),
        split_infos=splits,
        version=VERSION,
        check_data=False,
        description="User behaviour: sequences of (event, design) pairs.",
    )
