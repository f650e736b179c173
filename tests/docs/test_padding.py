"""docs/padding.md: its examples print what the page shows, and it has every setting and readout."""

from __future__ import annotations

import re

from ablation.config.padding import PADDING, TOKEN_POSITIONS
from tests.support.pages import examples_that_hold, page

TEXT = page("padding")


def test_examples_print_what_is_shown() -> None:
    assert examples_that_hold("padding") > 12


def test_the_page_has_every_setting_and_readout() -> None:
    assert [re.match(r"\w+", name)[0] for name in re.findall(r"^\| `--(.*?)` \|", TEXT, re.MULTILINE)] == list(PADDING)  # type: ignore[index]
    assert all(f"\n| `{readout}` |" in TEXT for readout in TOKEN_POSITIONS)
