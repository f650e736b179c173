"""Train the demo's byte-pair vocabulary on messages of the generator.

    python -m demo.vocabulary      writes data/demo/vocabulary.tiktoken anew

Byte-pair encoding (Sennrich et al. 2016) over bytes, as GPT-2 does it: words are cut by a pattern, each begins as its
bytes, and the pair of neighbours that is most frequent over all words becomes a token, again and again. Of equally
frequent pairs the one of smaller bytes is taken, so that the result does not depend on any order.
"""

from __future__ import annotations

import argparse
import base64
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise

from ablation.data.demo import VOCABULARY, WORD_PATTERN
from demo.messages import demo_messages, write_messages

TOKENS = 1999  # the end-of-text token is the 2,000th
VOCABULARY_SEED = 2
TRAINING_COUNTS = {"ham": 10_000, "spam": 10_000}

Pair = tuple[bytes, bytes]


def train_vocabulary(texts: Iterable[str], n_tokens: int) -> list[bytes]:
    """The tokens by rank: all 256 bytes, then what merging made, in the order of the merges.

    Args:
        n_tokens: how many tokens to make at most; fewer if every word has become one token before.
    """
    counts = Counter(word for text in texts for word in re.findall(WORD_PATTERN, text))
    words = [[bytes([byte]) for byte in word.encode()] for word in counts]
    weights = list(counts.values())
    pairs: Counter[Pair] = Counter()
    words_with: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, parts in enumerate(words):
        for pair in pairwise(parts):
            pairs[pair] += weights[index]
            words_with[pair].add(index)

    tokens = [bytes([byte]) for byte in range(256)]
    known = set(tokens)
    while len(tokens) < n_tokens and pairs:
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        token = best[0] + best[1]
        if token not in known:  # the same bytes may come about by other merges
            known.add(token)
            tokens.append(token)
        for index in words_with.pop(best):
            before, after = words[index], merged(words[index], best)
            for sign, parts in ((-1, before), (1, after)):
                for pair in pairwise(parts):
                    pairs[pair] += sign * weights[index]
                    words_with[pair].add(index)
            words[index] = after
        pairs = +pairs  # drops those that no longer occur
    return tokens


def merged(parts: list[bytes], pair: Pair) -> list[bytes]:
    """A word's tokens with each occurrence of a pair, from the left, made one."""
    result: list[bytes] = []
    for part in parts:
        if result and (result[-1], part) == pair:
            result[-1] += part
        else:
            result.append(part)
    return result


def vocabulary_file(tokens: Iterable[bytes]) -> str:
    """The tokens in tiktoken's format: a line of base64 and rank for each."""
    return "".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens))


def demo_vocabulary() -> str:
    """The content of ``data/demo/vocabulary.tiktoken``."""
    besides = {text for _, text in demo_messages()}
    texts = (text for _, text in write_messages(TRAINING_COUNTS, VOCABULARY_SEED, besides))
    return vocabulary_file(train_vocabulary(texts, TOKENS))


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()  # no flags; --help must not start anything
    VOCABULARY.parent.mkdir(parents=True, exist_ok=True)
    VOCABULARY.write_text(demo_vocabulary(), encoding="utf-8")
    print(f"{VOCABULARY}: {TOKENS} tokens and end-of-text")


if __name__ == "__main__":
    main()
