"""Settings of ours that a Hugging Face config.json has no name for."""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

from behavior_lm.attention.backends import KERNELS
from behavior_lm.common.errors import UserError
from behavior_lm.layers.stack import REMAT
from behavior_lm.models.encoders.config import DTYPES
from behavior_lm.models.encoders.config import EncoderConfig

# A sinusoid table is a learned one with another birth.
POSITION_ENCODINGS = ("learned", "sinusoid")
# Settings of ours that transformers has no name for, kept in config.json under
# OWN. Only `dtype` changes outputs, by rounding.
RECORDED = (
    "max_segments",
    "position_encoding",
    "dtype",
    "remat",
    "scan_layers",
    "attention_backend",
)
OWN = "behavior_lm"


def read_own(values: Mapping[str, Any], where: str) -> dict[str, Any]:
  """What an export of ours noted; {} in folders from elsewhere."""
  own = values.get(OWN, {})
  defaults = {f.name: f.default for f in dataclasses.fields(EncoderConfig)}
  if not isinstance(own, dict) or any(
      type(own.get(field, defaults[field])) is not type(defaults[field])
      for field in RECORDED
  ):
    raise UserError(
        f"{where}: {OWN!r} is damaged. Remove it: the model then computes in"
        " float32, with our defaults."
    )
  return own


def check_own(settings: Mapping[str, Any], where: str) -> None:
  """Settings that no folder of theirs has: of our record, or of the caller."""
  backends = {name for kind in KERNELS.values() for name in kind}
  known: dict[str, Sequence[Any]] = {
      "position_encoding": POSITION_ENCODINGS,
      "dtype": DTYPES,
      "remat": sorted(REMAT),
      "attention_backend": ["auto", *sorted(backends)],
  }
  problems = [
      f"{field} is {settings[field]!r}; known are {', '.join(values)}"
      for field, values in known.items()
      if field in settings and settings[field] not in values
  ]
  if settings["max_segments"] < 1:
    problems.append(f"max_segments is {settings['max_segments']!r}, not a size")
  refuse(problems, where)


def refuse(problems: Sequence[str], where: str) -> None:
  """Raises a UserError that names all problems, if there are any."""
  if problems:
    raise UserError(f"{where}: " + "; ".join(problems) + ".")
