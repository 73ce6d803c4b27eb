"""Reads a command's flags: --help ends well, a misspelt key is named."""

from collections.abc import Sequence
import difflib
import sys
from typing import Any

from absl import app
from absl import flags

_HELP = {"help", "h", "?", "helpshort", "helpfull", "helpxml"}


def parse_flags(argv: Sequence[str]) -> list[str]:
  """The arguments that are no flags, for `app.run(flags_parser=...)`.

  --help exits with 0, where absl exits with 1.
  """
  try:
    rest: list[str] = app.parse_flags_with_usage(list(argv))
    return rest
  except SystemExit:
    if any(_name(argument) in _HELP for argument in argv[1:]):
      sys.exit(0)
    raise


def define_config(default: str, text: str) -> flags.FlagHolder[Any]:
  """The flag --config, which names a config program with its arguments.

  A value for a key that the config does not have ends the command with 2 and
  names the nearest key, where ml_collections raises an AttributeError.

  Args:
    default: the program where none is given.
    text: the help.
  """
  # Late import: commands without a config do not load it.
  import ml_collections
  from ml_collections.config_flags import config_flags

  program = _value(sys.argv, "config") or default
  keys = [_name(a)[len("config.") :] for a in sys.argv if _is_override(a)]
  if keys:
    try:
      config = config_flags.ConfigFileFlagParser("config").parse(program)
    except (TypeError, ValueError):  # The flag's own parser tells it again.
      config = None
    known = isinstance(config, ml_collections.ConfigDict)
    if known and (wrong := unknown_keys(keys, config)):
      print(f"error: {program}: {wrong}", file=sys.stderr)
      sys.exit(2)
  return config_flags.DEFINE_config_file("config", default, text)


def unknown_keys(keys: Sequence[str], config: Any) -> str:
  """What is wrong with keys such as "optim.lr"; empty if the config has them.

  Args:
    keys: with dots between the sections.
    config: a ConfigDict.
  """
  known = _paths(config)
  messages = []
  for key in keys:
    # Elements of a tuple are set as key[0].
    if key.partition("[")[0] in known:
      continue
    near = difflib.get_close_matches(key, known, 3, 0.6)
    section = key.rpartition(".")[0]
    inside = [name for name in known if name.rpartition(".")[0] == section]
    advice = f" Did you mean {' or '.join(near)}?" if near else ""
    if inside:
      advice += f" {section or 'The config'} has {', '.join(inside)}."
    messages.append(f"the config has no key {key!r}.{advice}")
  return " ".join(messages)


def _is_override(argument: str) -> bool:
  return _name(argument).startswith("config.")


def _name(argument: str) -> str:
  """The flag that an argument sets, without its value; empty if none."""
  return argument.partition("=")[0].lstrip("-") if argument[:1] == "-" else ""


def _value(argv: Sequence[str], flag: str) -> str:
  """The last value of a flag, given as --flag=value or as --flag value."""
  found = ""
  for argument, following in zip(argv, [*argv[1:], ""], strict=True):
    if _name(argument) == flag:
      found = argument.partition("=")[2] or following
  return found


def _paths(config: Any, prefix: str = "") -> list[str]:
  """["optim", "optim.learning_rate", ...]."""
  found = []
  for key in config:
    found.append(prefix + key)
    if hasattr(config[key], "keys"):
      found += _paths(config[key], f"{prefix}{key}.")
  return found
