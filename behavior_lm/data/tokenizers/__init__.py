"""Tokenizers: (event, design) -> token ids, one interface for all kinds."""

import json
from pathlib import Path

from behavior_lm.data.tokenizers.pair import FILE_NAME
from behavior_lm.data.tokenizers.pair import PairTokenizer
from behavior_lm.errors import UserError

TOKENIZERS = {"pair": PairTokenizer}


def load_tokenizer(folder: str | Path) -> PairTokenizer:
  """Reads a tokenizer folder, whatever its kind."""
  path = Path(folder) / FILE_NAME
  try:
    content = json.loads(path.read_text())
  except FileNotFoundError:
    raise UserError(f"{folder}: no {FILE_NAME}, so no tokenizer.") from None
  except (json.JSONDecodeError, UnicodeDecodeError) as error:
    raise UserError(f"{path}: not readable as JSON ({error}).") from error
  kind = content.get("kind") if isinstance(content, dict) else None
  if kind not in TOKENIZERS:
    raise UserError(
        f"{path}: tokenizer kind {kind!r}; known are {sorted(TOKENIZERS)}."
    )
  return TOKENIZERS[kind].from_json(content, str(path))
