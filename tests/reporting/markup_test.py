"""Tests for HTML that no text can break."""

import html.parser

from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st
import pytest

from behavior_lm.reporting import markup


class Reader(html.parser.HTMLParser):
  """Tags and text as a browser takes them."""

  def __init__(self):
    super().__init__(convert_charrefs=True)
    self.tags, self.attributes, self.text = [], [], ""

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.attributes += attrs

  def handle_data(self, data):
    self.text += data


def read(page):
  reader = Reader()
  reader.feed(page)
  reader.close()
  return reader


@given(st.text(max_size=60))
@example('<script>alert("1")</script>')
@example("</code></td><img src=x onerror='a'>")
@example("&lt;b&gt; &amp; \ud800 \u202e \x00")
def test_no_text_becomes_markup(text):
  page = markup.tag("td", markup.tag("code", text), title=text)
  found = read(page)
  assert found.tags == ["td", "code"]
  assert found.text == markup.plain(text)
  assert found.attributes == [("title", markup.plain(text))]
  page.encode("utf-8")


def test_text_that_turns_the_reading_direction_is_replaced():
  assert markup.plain("abc\u202edcba") == "abc\N{REPLACEMENT CHARACTER}dcba"
  assert markup.plain("x" * 999, longest=5) == "xxxx…"


def test_numbers_stand_to_the_right_of_text():
  page = markup.table(["name", "n"], [["x", "1"]])
  assert '<td class="text">x</td><td class="number">1</td>' in page


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (markup.percent(0.1234), "12.3 %"),
        (markup.percent(0.99999, 2), "> 99.99 %"),
        (markup.percent(1.0, 2), "100.00 %"),
        (markup.percent(1e-9, 2), "< 0.01 %"),
        (markup.percent(0.0, 2), "0.00 %"),
        (markup.duration(42), "42 s"),
        (markup.duration(880), "14 min 40 s"),
        (markup.duration(5_000), "1 h 23 min"),
        (markup.short(1_564_120), "1.56 M"),
        (markup.short(25_600), "25.6 k"),
        (markup.short(9_999), "9,999"),
    ],
)
def test_numbers_are_written_for_people(got, want):
  assert got == want
