"""Tokenizers: events -> token ids, one interface for all kinds."""

from pathlib import Path

from behavior_lm.artifacts.json_files import read_object
from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers.base import FILE_NAME
from behavior_lm.data.tokenizers.base import Tokenizer
from behavior_lm.data.tokenizers.bpe import BpeTokenizer
from behavior_lm.data.tokenizers.pair import PairTokenizer
from behavior_lm.logs import schema

TOKENIZERS: dict[str, type[Tokenizer]] = {
    "pair": PairTokenizer,
    "bpe": BpeTokenizer,
}


def load_tokenizer(folder: str | Path) -> Tokenizer:
  """Reads a tokenizer folder, whatever its kind.

  Raises:
    UserError: if it is missing, damaged or of another version.
  """
  path = Path(folder) / FILE_NAME
  if not path.exists():
    raise UserError(f"{folder}: no {FILE_NAME}, so no tokenizer.")
  content = read_object(path)
  kind = content.get("kind")
  if not isinstance(kind, str) or kind not in TOKENIZERS:
    raise UserError(
        f"{path}: tokenizer kind {kind!r}; known are {sorted(TOKENIZERS)}."
    )
  if content.get("specials") != list(schema.SPECIAL_TOKENS):
    raise UserError(f"{path}: other special tokens than this version's.")
  try:
    tokenizer = TOKENIZERS[kind].from_json(content, path)
    tokenizer.check_fingerprint(content, str(path))
  except UserError as error:
    if str(folder) in str(error):
      raise
    raise UserError(f"{folder}: {error}") from error
  return tokenizer
