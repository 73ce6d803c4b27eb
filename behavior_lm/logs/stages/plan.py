"""What a run will do: written down first, so that it can be continued."""

from collections.abc import Sequence
import dataclasses
import json
import os
import pathlib
import time
from typing import Any

from behavior_lm.common.errors import Interrupted
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from behavior_lm.logs import formats
from behavior_lm.logs import schema
from behavior_lm.logs.readers import parquet_log
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import source_file
from behavior_lm.logs.readers.source_file import Source
from behavior_lm.logs.stages import spill
from behavior_lm.logs.stages.options import Options

PLAN_FILE = "plan.json"
# Folder of the tasks' files, inside the folder being built.
WORK = "work"
# Rows of one reading task, where a file can be cut: a few seconds of work.
SLICE_ROWS = 4_000_000


@dataclasses.dataclass(frozen=True)
class Plan:
  """Everything that a task needs to know; can be sent to other processes.

  Attributes:
    building: the folder being built.
    options: what to read and how.
    sources: the files of the log.
    slices: for each reading task the file, or the part of one, to read.
    bits: the first so many bits of a user's hash say its partition.
    now: the present in epoch seconds; later times are rejected.
    noted: what a TimeReader saw at the start of each file that is cut.
  """

  building: pathlib.Path
  options: Options
  sources: tuple[Source, ...]
  slices: tuple[Source, ...]
  bits: int
  now: float
  noted: dict[str, dict[str, Any]]

  @property
  def work(self) -> pathlib.Path:
    return self.building / WORK

  @property
  def kinds(self) -> dict[str, str]:
    """Kinds of the extra columns, in their order."""
    return self.options.kinds

  @property
  def categorical(self) -> list[str]:
    """Names of the categorical extra columns."""
    kinds = self.kinds
    return [name for name in kinds if kinds[name] == schema.CATEGORICAL]

  @property
  def num_partitions(self) -> int:
    return 1 << self.bits


def make(
    options: Options, files: Sequence[Source], building: pathlib.Path
) -> Plan:
  """Looks at the log and plans the run; reads no more than starts of files.

  Args:
    options: complete ones.
    files: of the log.
    building: the folder being built.
  """
  slices: list[Source] = []
  noted = {}
  now = time.time()
  rows = 0
  for file in files:
    parts, count = _cut(file)
    slices += parts
    rows += count
    if len(parts) > 1:
      noted[file.name] = _look(parts[0], options, now)
  return Plan(
      building=building,
      options=options,
      sources=tuple(files),
      slices=tuple(slices),
      bits=spill.partition_bits(rows),
      now=now,
      noted=noted,
  )


def save(plan: Plan) -> None:
  """Writes the plan where a later run finds it."""
  content = {
      "schema_version": schema.SCHEMA_VERSION,
      "settings": plan.options.settings(),
      "sources": {file.name: _stamp(file) for file in plan.sources},
      "groups": [(file.name, file.groups) for file in plan.slices],
      "bits": plan.bits,
      "now": plan.now,
      "noted": plan.noted,
  }
  write_whole(plan.building / PLAN_FILE, json.dumps(content))


def resume(
    options: Options, files: Sequence[Source], building: pathlib.Path
) -> Plan | None:
  """The plan of the unfinished run in `building`; None if there is none.

  Raises:
    Interrupted: if that run was another one, or the log has changed since.
  """
  try:
    text = (building / PLAN_FILE).read_text(encoding="utf-8")
    content = json.loads(text)
  except (OSError, ValueError):
    return None
  named = {file.name: file for file in files}
  now = {
      "schema_version": schema.SCHEMA_VERSION,
      "settings": options.settings(),
      "sources": {name: _stamp(file) for name, file in named.items()},
  }
  different = _difference(content, now)
  if different:
    raise Interrupted(
        f"--out {options.out}: an unfinished run is there, and {different}."
        " Repeat the first command to continue it, or pass --restart to"
        " discard it."
    )
  return Plan(
      building=building,
      options=options,
      sources=tuple(files),
      slices=tuple(
          dataclasses.replace(named[name], groups=groups and tuple(groups))
          for name, groups in content["groups"]
      ),
      bits=content["bits"],
      now=content["now"],
      noted=content["noted"],
  )


def check_unchanged(plan: Plan, source: Source) -> None:
  """Raises UserError if a file changed while the run goes on."""
  content = json.loads((plan.building / PLAN_FILE).read_text("utf-8"))
  if _stamp(source) != content["sources"][source.name]:
    raise UserError(
        f"{source.path}: has changed while it was being read. Run again when"
        " nobody writes to it."
    )


def _difference(then: dict[str, Any], now: dict[str, Any]) -> str:
  """In words; empty if there is none."""
  if then["schema_version"] != now["schema_version"]:
    return "it is of another version of this program"
  for flag, value in now["settings"].items():
    before = then["settings"][flag]
    if before != value:
      return f"it was started with --{flag} {before or '(none)'}, not {value}"
  for name in sorted(now["sources"] | then["sources"]):
    if name not in then["sources"]:
      return f"the log has a file that it did not have then: {name}"
    if name not in now["sources"]:
      return f"the log no longer has the file {name}"
    if then["sources"][name] != now["sources"][name]:
      return f"{name} has changed since"
  return ""


def companions(source: Source) -> list[pathlib.Path]:
  """Other files that are read together with one."""
  known = formats.FORMATS.get(source.format)
  if known is None:
    return []
  # The reader says what is missing.
  return [path for path in known.companions(source.path) if path.is_file()]


def _stamp(source: Source) -> list[int]:
  """What tells without reading a file that it is the same one."""
  stamp = []
  for path in (source.path, *companions(source)):
    found = os.stat(path)
    stamp += [found.st_size, found.st_mtime_ns]
  return stamp


def _cut(source: Source) -> tuple[list[Source], int]:
  """The parts to read a file in, and about how many rows it has."""
  if source.format != source_file.PARQUET:
    # Short rows on purpose: too many partitions cost less than too large ones.
    return [source], source.size * (10 if source.compression else 1) // 40
  counts = parquet_log.group_rows(source)
  parts, first, rows = [], 0, 0
  for group, count in enumerate(counts):
    rows += count
    if rows >= SLICE_ROWS or group == len(counts) - 1:
      parts.append(dataclasses.replace(source, groups=(first, group + 1)))
      first, rows = group + 1, 0
  return parts or [source], sum(counts)


def _look(part: Source, options: Options, now: float) -> dict[str, Any]:
  """Reads a first batch: parts of one file must read times the same way."""
  times = options.time_reader(now)
  rejected = quarantine.Quarantine(pathlib.Path(os.devnull))
  try:
    batches = formats.read(
        part,
        log_format=options.log_format,
        columns=options.columns,
        extras=list(options.kinds),
        encoding=options.encoding,
        rejected=rejected,
        header=options.header,
    )
    first = next(batches, None)
  finally:
    rejected.close()
  if first is not None:
    times.read(first[schema.TIMESTAMP], first["row"], part.name)
  # Each reading task counts its own.
  return times.notes() | {"unclear": 0}
