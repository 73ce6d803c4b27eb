"""TFDS builder of event sequences: array_record files, no TensorFlow.

Built shard by shard. `GeneratorBasedBuilder` would keep a whole split in
memory up to 1 GB and need TensorFlow above that.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import io
import logging
import pathlib
import shutil
from typing import Any

from absl import logging as absl_logging
import numpy as np
import tensorflow_datasets as tfds

from behavior_lm.data import schema

Example = dict[str, Any]
# Called once, when its shard is written.
Shard = Callable[[], Iterator[tuple[int, Example]]]

NAME = "event_log"
VERSION = "1.0.0"
# Where the builder puts the files below its data_dir.
FOLDER = pathlib.PurePosixPath(NAME, VERSION)


class EventLog(tfds.core.ShardBasedBuilder):
  """One example a sequence, in the order given.

  Args:
    shards: for each split its shards, none of them empty. A shard yields
      (key, example); see `_info` for an example.
    **kwargs: of the TFDS builder, `data_dir` above all.
  """

  name = NAME
  VERSION = tfds.core.Version(VERSION)
  # Without it TFDS looks for the metadata of a published dataset.
  pkg_dir_path = pathlib.Path(__file__).parent

  def __init__(self, *, shards: Mapping[str, Sequence[Shard]], **kwargs: Any):
    self._shards = shards
    super().__init__(file_format="array_record", **kwargs)

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
        builder=self,
        description="User behaviour: sequences of (event, design) pairs.",
        features=tfds.features.FeaturesDict({
            schema.USER_ID: tfds.features.Text(),
            # Microseconds UTC of the first event.
            "start": tfds.features.Scalar(np.int64),
            # Row of pairs.parquet; a Tensor, since Sequence is slow here.
            "pair": tfds.features.Tensor(shape=(None,), dtype=np.int32),
            "timestamp": tfds.features.Tensor(shape=(None,), dtype=np.int64),
        }),
        disable_shuffling=True,
    )

  def _shard_iterators_per_split(
      self, dl_manager: Any
  ) -> Mapping[str, Sequence[Shard]]:
    del dl_manager  # Nothing is downloaded.
    return self._shards


def write_event_log(
    shards: Mapping[str, Sequence[Shard]], data_dir: pathlib.Path
) -> pathlib.Path:
  """Writes the dataset below `data_dir` and returns its own folder."""
  builder = EventLog(shards=shards, data_dir=str(data_dir))
  with _quiet():
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )
  # TFDS makes it whether or not there is something to download.
  shutil.rmtree(data_dir / "downloads")
  return pathlib.Path(builder.data_dir)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Keeps TFDS's talk of downloads away from the person's screen."""
  tfds.disable_progress_bar()
  verbosity = absl_logging.get_verbosity()
  absl_logging.set_verbosity(absl_logging.ERROR)
  logger = logging.getLogger("tensorflow_datasets")
  level = logger.level
  logger.setLevel(logging.ERROR)
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    absl_logging.set_verbosity(verbosity)
    logger.setLevel(level)
