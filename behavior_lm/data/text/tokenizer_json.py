"""Tokenizers of every kind, through the optional package `tokenizers`."""

from collections.abc import Sequence
import hashlib
from pathlib import Path
from typing import Any

from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole

FILE = "tokenizer.json"
# What stands before and after a text, in BERT's and in RoBERTa's family.
_CLS, _SEP = ("[CLS]", "<s>"), ("[SEP]", "</s>")


class JsonTokenizer:
  """See `behavior_lm.data.text.TextTokenizer`.

  Args:
    content: of a tokenizer.json.
    where: the file, for errors.

  Raises:
    UserError: if the package is not installed, or the file is damaged.
  """

  def __init__(self, content: str, where: Path):
    try:
      import tokenizers
    except ImportError:
      raise UserError(
          f"{where}: is read by the package tokenizers, which is not installed."
          ' Run: pip install "behavior_lm[text]".'
      ) from None
    try:
      self._tokenizer: Any = tokenizers.Tokenizer.from_str(content)
    except Exception as error:  # Its errors have no class of their own.
      raise UserError(f"{where}: is no tokenizer ({error}).") from error
    self._tokenizer.no_padding()
    self._tokenizer.no_truncation()
    self._content = content
    self.cls_id = self._find(_CLS, where)
    self.sep_id = self._find(_SEP, where)

  @classmethod
  def load(cls, folder: Path) -> "JsonTokenizer":
    return cls((folder / FILE).read_text(encoding="utf-8"), folder / FILE)

  @property
  def vocab_size(self) -> int:
    return int(self._tokenizer.get_vocab_size())

  @property
  def fingerprint(self) -> str:
    return hashlib.sha256(self._content.encode()).hexdigest()

  def encode(self, texts: Sequence[str]) -> list[list[int]]:
    found = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [list(text.ids) for text in found]

  def save(self, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / FILE, self._content)

  def _find(self, names: tuple[str, ...], where: Path) -> int:
    found = [self._tokenizer.token_to_id(name) for name in names]
    known = [number for number in found if number is not None]
    if not known:
      raise UserError(f"{where}: has none of the tokens {', '.join(names)}.")
    return int(known[0])
