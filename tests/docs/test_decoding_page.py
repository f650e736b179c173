"""docs/decoding.md: its examples print what the page shows, and its ways are those that there are."""

from __future__ import annotations

import re

from ablation.config.decoding import WAYS
from ablation.environment import PROJECT
from tests.support.pages import examples_that_hold, page

TEXT = page("decoding")


def test_examples_print_what_is_shown() -> None:
    assert examples_that_hold("decoding") > 20


def test_the_page_has_every_way() -> None:
    ways, _, _ = TEXT.partition("The order matters")
    assert set(re.findall(r"^\| `(\w+)` \|", ways, flags=re.MULTILINE)) == set(WAYS)


def test_the_picture_is_readable_on_light_and_dark_pages() -> None:
    picture = (PROJECT / "docs" / "token_seconds.svg").read_text(encoding="utf-8")
    assert "fill: #ffffff" in picture[:3000]  # a ground of its own
    for text in ("attention dominates", "projections, feed-forward", "token of the sentence"):
        assert text in picture
