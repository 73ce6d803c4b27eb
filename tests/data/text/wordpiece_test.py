import unicodedata

from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import pytest
import tokenizers

from behavior_lm.common.errors import UserError
from behavior_lm.data.text import load_text_tokenizer
from behavior_lm.data.text.wordpiece import fit_words
from behavior_lm.data.text.wordpiece import SPECIAL
from behavior_lm.data.text.wordpiece import WordPiece

PIECES = [
    *SPECIAL, "un", "##able", "##a", "a", "able", "n", "##n", "##o", "naive",
    "$", "5", "^", "2", "日", "本", ".", "!", "##5", "##é", "é", "e", "##e",
]  # fmt: skip


def original(lowercase):
  """Makes the same tokenizer with the package `tokenizers`, as a judge."""
  made = tokenizers.Tokenizer(
      tokenizers.models.WordPiece(
          {piece: number for number, piece in enumerate(PIECES)},
          unk_token="[UNK]",
          max_input_chars_per_word=100,
      )
  )
  made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lowercase)
  made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
  return made


def test_words_are_the_longest_pieces_from_left_to_right():
  made = WordPiece(PIECES)
  names = lambda text: [PIECES[n] for n in made.encode([text])[0]]
  assert names("Unable  ANO") == ["un", "##able", "a", "##n", "##o"]
  assert names("naïve $5^2!") == ["naive", "$", "5", "^", "2", "!"]
  assert names("日本. zebra") == ["日", "本", ".", "[UNK]"]
  assert names("a" * 101) == ["[UNK]"]
  assert names(" \x00\u200b") == []


# The judge knows an older Unicode than Python: letters that both know.
KNOWN = st.characters(exclude_categories=["Cs", "Cn", "Co"]).filter(
    lambda letter: unicodedata.ucd_3_2_0.category(letter) != "Cn"
)


@pytest.mark.parametrize("lowercase", [True, False])
@settings(deadline=None, max_examples=150)
@example(text="0\U0002b820")
@example(text="0\U0002b920")
@given(
    text=st.text(
        st.one_of(st.sampled_from("aeno5 $^.!É日本\t\u0301İ\u2028"),
                  KNOWN),
        max_size=12,
    )
)
def test_ids_are_those_of_the_original(lowercase, text):
  want = original(lowercase).encode(text, add_special_tokens=False).ids
  assert WordPiece(PIECES, lowercase=lowercase).encode([text]) == [want]


def test_a_saved_tokenizer_is_the_same(tmp_path):
  made = WordPiece([*PIECES, "\u2028"], lowercase=False)
  made.save(tmp_path / "text")
  back = load_text_tokenizer(tmp_path / "text")
  assert back.fingerprint == made.fingerprint
  assert back.vocab_size == len(PIECES) + 1
  assert (back.cls_id, back.sep_id) == (2, 3)
  assert WordPiece(PIECES).fingerprint != made.fingerprint


def test_words_of_texts_make_a_vocabulary():
  made = fit_words(["red red blue", "red gold"], max_words=1)
  (ids,) = made.encode(["red od zz"])
  assert len(ids) == 1 + 2 + 1
  assert made.encode(["zz"]) == [[1]]


def test_what_is_no_tokenizer_is_refused(tmp_path):
  with pytest.raises(UserError, match="neither vocab.txt nor tokenizer.json"):
    load_text_tokenizer(tmp_path)
  (tmp_path / "vocab.txt").write_text("[PAD]\nred\n")
  with pytest.raises(UserError, match=r"no \[UNK\], \[CLS\], \[SEP\]"):
    load_text_tokenizer(tmp_path)
  WordPiece(PIECES).save(tmp_path)
  (tmp_path / "tokenizer_config.json").write_text('{"strip_accents": false}')
  with pytest.raises(UserError, match="strip_accents"):
    load_text_tokenizer(tmp_path)
