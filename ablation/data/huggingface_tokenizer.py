"""A byte-pair vocabulary as tiktoken has it, in the files that transformers reads: the same ids for the same text.

tiktoken merges whichever neighbours make the token of the lowest rank; the others hold a list of pairs. From single
bytes a token is always made of the same last pair, so a list with one pair a token says the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ablation.config.padding import RIGHT

if TYPE_CHECKING:
    import tiktoken

MERGES_HEADER = "#version: 0.2"  # as in GPT-2's own merges.txt

# The demo's words (WORD_PATTERN in ablation/data/demo.py) in the terms of the engine in `tokenizers`, whose \w is
# another than that of tiktoken's engine: there it has all of Alphabetic, and what joins characters.
_LETTER = r"\p{Alphabetic}\p{M}\p{Join_Control}\x{203F}\x{2040}\x{2054}\x{FE33}\x{FE34}\x{FE4D}-\x{FE4F}\x{FF3F}"
_DEMO_WORDS = rf"'(?:[sdmt]|ll|ve|re)| ?[{_LETTER}]+| ?\p{{Nd}}+| ?[^\s{_LETTER}\p{{Nd}}]+|\s+(?!\S)|\s+"


def _byte_level(*, use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


# How texts are cut into words, by the encoding's name. The engine knows GPT-2's own pattern.
PRE_TOKENIZERS: Mapping[str, dict[str, Any]] = {
    "gpt2": _byte_level(use_regex=True),
    "demo": {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": _DEMO_WORDS}, "behavior": "Isolated", "invert": False},
            _byte_level(use_regex=False),
        ],
    },
}


def tokenizer_files(
    encoding: tiktoken.Encoding,
    length: int,
    *,
    pads_are_read: bool,
    padding_side: str = RIGHT,
    truncation_side: str = RIGHT,
) -> dict[str, str]:
    """Files by name, for ``AutoTokenizer.from_pretrained``.

    Args:
        length: tokens that a message is cut to where it is cut.
        pads_are_read: whether pads count like any token, so that the tokenizer makes no attention mask.
    """
    end = encoding.decode([encoding.eot_token])
    tokens = [encoding.decode_single_token_bytes(rank) for rank in range(encoding.n_vocab - 1)]  # the end comes last
    vocabulary = {_as_text(token): rank for rank, token in enumerate(tokens)} | {end: encoding.eot_token}
    merges = [(_as_text(left), _as_text(right)) for left, right in merge_pairs(tokens)]
    model = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
        "fuse_unk": False, "byte_fallback": False, "ignore_merges": True, "vocab": vocabulary, "merges": merges,
    }  # fmt: skip
    marks = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": encoding.eot_token, "content": end, **marks}],
        "normalizer": None, "pre_tokenizer": PRE_TOKENIZERS[encoding.name],
        "post_processor": None, "decoder": _byte_level(use_regex=True), "model": model,
    }  # fmt: skip
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": length,
        "model_input_names": ["input_ids"] if pads_are_read else ["input_ids", "attention_mask"],
        "padding_side": padding_side,
        "truncation_side": truncation_side,
        "bos_token": end,
        "eos_token": end,
        "pad_token": end,
        "split_special_tokens": True,  # a message that says <|endoftext|> says these thirteen characters
        "clean_up_tokenization_spaces": False,
    }
    lines = [MERGES_HEADER, *(f"{left} {right}" for left, right in merges)]
    return {
        "tokenizer.json": json.dumps(tokenizer, ensure_ascii=False) + "\n",
        "tokenizer_config.json": json.dumps(settings, indent=2) + "\n",
        "vocab.json": json.dumps(vocabulary) + "\n",
        "merges.txt": "".join(f"{line}\n" for line in lines),
    }


def merge_pairs(tokens: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The two tokens that each longer one is made of, by rank. A token that merging never makes has none: it stands for
    a whole word only.

    Args:
        tokens: by rank, single bytes among them.
    """
    ranks = {token: rank for rank, token in enumerate(tokens)}
    for token in tokens:
        parts = [bytes([byte]) for byte in token]
        while len(parts) > 2:
            lowest, at = min((ranks.get(a + b, len(ranks)), at) for at, (a, b) in enumerate(pairwise(parts)))
            if lowest == len(ranks):
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        if len(parts) == 2:
            yield parts[0], parts[1]


def _as_text(token: bytes) -> str:
    return "".join(_BYTES[byte] for byte in token)


def _visible_bytes() -> dict[int, str]:
    """A character for each byte: itself where it prints in Latin-1, otherwise the next one from 256 on (as GPT-2's
    vocabulary is written)."""
    printing = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in printing]
    return {byte: chr(byte) for byte in printing} | {byte: chr(256 + at) for at, byte in enumerate(hidden)}


_BYTES = _visible_bytes()
