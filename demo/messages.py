"""Make SMS-like messages, ham and spam, from the texts in ``demo/texts``: every one follows from a seed.

    python -m demo.messages        writes data/demo/messages.csv anew

Ham and spam talk of the same things (prizes, parcels, money, love), so that single words tell little: what tells is
who does what, and which sentences go together. A message is some sentences about one topic in the order of the topic's
file, maybe a greeting, a closing and a remark that both classes use, written in somebody's style: slang, typos,
small letters, exclamation marks. A quarter of the ham is small talk, often short, as people try it.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
import re
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path

from ablation.data.demo import MESSAGES
from ablation.data.labels import LABELS

TEXTS = Path(__file__).parent / "texts"
MESSAGES_SEED = 1
HAM_COUNT, SPAM_COUNT = 803, 747  # ham is sampled down to the spam, as in the published experiment
MOST_CHARACTERS = 400  # of one message in messages.csv: about 120 tokens
MOST_WORDS = 80

CHOICE = re.compile(r"\[([^\[\]]*)\]")  # "[a|b]" is one of "a" and "b"; choices may stand within choices
SLOT = re.compile(r"\{(\w+)\}")  # "{name}" is one line of the section "# name" of words.txt
FULL_STOP = re.compile(r"\.(?= |$)")  # not the one in a link

SENTENCES_OF_TOPIC = (1, 2, 3, 4, 5, 6)
SENTENCE_WEIGHTS = (60, 24, 8, 4, 2, 2)
QUOTING_HAM = 0.1  # share of ham that shows somebody a spam sentence
SMALL_TALK = 0.3  # share of the other ham that is about nothing in particular
BARE = {"ham": 0.5, "spam": 0.3}  # share of small talk, and of spam, that says what it says and nothing else
CHATTY_SPAM = 0.15  # share of spam that begins like a friend

SLANG = {
    "you": "u", "your": "ur", "are": "r", "to": "2", "for": "4", "please": "pls", "tomorrow": "2moro",
    "tonight": "2nite", "today": "2day", "because": "cos", "and": "n", "thanks": "thx", "message": "msg",
    "text": "txt", "great": "gr8", "see": "c", "before": "b4", "with": "wiv", "the": "da", "what": "wot",
    "really": "rly", "people": "ppl", "be": "b", "have": "hav", "just": "jus", "that": "dat", "going": "goin",
    "week": "wk", "love": "luv", "back": "bak", "number": "no.", "about": "abt",
}  # fmt: skip


@cache
def texts(name: str) -> dict[str, list[str]]:
    """The lines of one of the text files under each of its headings ``# heading``."""
    sections: dict[str, list[str]] = {}
    for line in (TEXTS / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            lines = sections.setdefault(line[2:], [])
        elif line:
            lines.append(line)
    return sections


# ---- what is said ---------------------------------------------------------------------------------------------------


def expand(template: str, draw: random.Random) -> str:
    """Fill in a template: its slots, then its choices from the innermost outwards."""
    while SLOT.search(template):
        template = SLOT.sub(lambda slot: draw.choice(texts("words")[slot[1]]), template)
    while CHOICE.search(template):
        template = CHOICE.sub(lambda choice: draw.choice(choice[1].split("|")), template)
    return template


def sentences(label: str, draw: random.Random) -> list[str]:
    """What a message says, before anybody's style: one topic of its class, and remarks of either."""
    words = texts("words")
    if label == "ham" and draw.random() < QUOTING_HAM:
        spam = draw.choice(draw.choice(list(texts("spam").values())))
        return [expand(draw.choice(words["quoting"]).replace("{quoted}", spam), draw)]
    small_talk = label == "ham" and draw.random() < SMALL_TALK
    topic = draw.choice(list(texts("smalltalk" if small_talk else label).values()))
    count = min(len(topic), draw.choices(SENTENCES_OF_TOPIC, SENTENCE_WEIGHTS)[0])
    said = [topic[index] for index in sorted(draw.sample(range(len(topic)), count))]
    if (small_talk or label == "spam") and draw.random() < BARE[label]:
        return [expand(sentence, draw) for sentence in said]
    if label == "spam" and draw.random() < CHATTY_SPAM:
        friendly = texts(draw.choice(("ham", "smalltalk")))
        said.insert(0, draw.choice(draw.choice(list(friendly.values()))))
    for _ in range(draw.choices((0, 1, 2, 3), (40, 38, 16, 6))[0]):
        said.insert(draw.randint(0, len(said)), draw.choice(words["neutral"]))
    if draw.random() < 0.5:
        said.insert(0, draw.choice(words["greeting"]) + draw.choice((",", ",", "!", ".", "")))
    if draw.random() < 0.4:
        said.append(draw.choice(words["closing"]))
    return [expand(sentence, draw) for sentence in said]


# ---- how it is written ----------------------------------------------------------------------------------------------


def with_typo(word: str, draw: random.Random) -> str:
    """Two letters swapped, one left out or one doubled, behind the first letter."""
    if len(word) < 4 or not word.isalpha():
        return word
    at = draw.randrange(1, len(word) - 1)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return draw.choice((swapped, word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:]))


def restyle(text: str, draw: random.Random) -> str:
    """A text in one person's style, which has nothing to do with the class."""
    slang, typos = draw.choice((0.0, 0.0, 0.25, 0.7)), draw.choice((0.0, 0.01, 0.04, 0.1))
    words = []
    for word in text.split(" "):
        bare = word.rstrip(".,!?")
        if bare.lower() in SLANG and draw.random() < slang:
            word = SLANG[bare.lower()] + word[len(bare) :]
        elif draw.random() < typos:
            word = with_typo(bare, draw) + word[len(bare) :]
        words.append(word)
    text = " ".join(words)
    styles: list[Callable[[str], str]] = [
        str, str, str, str, str, str, str.lower, str.lower, str.lower, str.lower, str.upper if len(words) < 20 else str,
        lambda t: FULL_STOP.sub("...", t), lambda t: FULL_STOP.sub("!", t), lambda t: FULL_STOP.sub("", t).lower(),
        lambda t: t.replace(" not", "nt").replace(",", ""),
        lambda t: t.rstrip(".!?"), lambda t: t.rstrip(".!?").lower(),
    ]  # fmt: skip
    return draw.choice(styles)(text)


def write_message(label: str, draw: random.Random) -> str:
    """One message of a class, ``ham`` or ``spam``."""
    while True:
        text = restyle(" ".join(sentences(label, draw)), draw)
        if len(text.split()) <= MOST_WORDS:
            return text


def write_messages(
    counts: dict[str, int], seed: int, besides: Collection[str] = (), most_characters: float = math.inf
) -> list[tuple[str, str]]:
    """Distinct messages as (label, text), shuffled.

    Args:
        counts: how many of each label.
        seed: decides everything.
        besides: texts that must not be among them.
        most_characters: of one message.
    """
    draw = random.Random(seed)
    seen = set(besides)
    messages: list[tuple[str, str]] = []
    for label, count in counts.items():
        wanted = len(messages) + count
        while len(messages) < wanted:
            text = write_message(label, draw)
            if text not in seen and len(text) <= most_characters:
                seen.add(text)
                messages.append((label, text))
    draw.shuffle(messages)
    return messages


def demo_messages() -> list[tuple[str, str]]:
    """The messages of ``data/demo/messages.csv``."""
    return write_messages({"ham": HAM_COUNT, "spam": SPAM_COUNT}, MESSAGES_SEED, most_characters=MOST_CHARACTERS)


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()  # no flags; --help must not start anything
    MESSAGES.parent.mkdir(parents=True, exist_ok=True)
    messages = demo_messages()
    with MESSAGES.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("Label", "Text"), *messages])
    counts = ", ".join(f"{sum(label == name for label, _ in messages)} {name}" for name in LABELS)
    print(f"{MESSAGES}: {counts}")


if __name__ == "__main__":
    main()
