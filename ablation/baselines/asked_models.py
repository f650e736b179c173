"""GPT-2 and the causal models of transformers, as :mod:`ablation.baselines.asking` asks them."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ablation.baselines.asking import Beginning, Reading
from ablation.model.key_value_cache import KeyValueCache, check_model
from previous_chapters import GPTModel

if TYPE_CHECKING:
    import tiktoken

    from ablation.baselines.hf_models import HubModel


class AskedGPT:
    """GPT-2 with its vocabulary head, in evaluation mode.

    Raises:
        ValueError, TypeError: as :func:`ablation.model.key_value_cache.check_model`.
    """

    def __init__(self, model: GPTModel, tokenizer: tiktoken.Encoding) -> None:
        check_model(model)
        self.model, self._tokenizer = model, tokenizer
        self.context = model.pos_emb.num_embeddings
        self.end_token: int | None = tokenizer.eot_token

    def tokens(self, text: str) -> list[int]:
        return self._tokenizer.encode_ordinary(text)

    def text(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(list(tokens))

    def read(self, tokens: Sequence[int]) -> Beginning:
        return _GPTBeginning(KeyValueCache(self.model, tokens, 1, limit=len(tokens)))


class _GPTBeginning:
    def __init__(self, cache: KeyValueCache) -> None:
        self._cache = cache

    def go_on(self, endings: Tensor, further: int) -> Reading:
        count, length = endings.shape
        cache = self._cache.for_sentences(count, self._cache.length + length + further)
        cache.read(endings.to(cache.logits.device))
        return cache


class AskedCausalModel:
    """A causal language model of transformers with its own tokenizer."""

    def __init__(self, loaded: HubModel) -> None:
        model, tokenizer = loaded.model, loaded.tokenizer
        self.model, self._tokenizer, self.context = model, tokenizer, loaded.room
        self.end_token: int | None = tokenizer.eos_token_id
        empty = tokenizer("")["input_ids"]
        self._before = [token for token in empty if token == tokenizer.bos_token_id][:1]
        self.one_position = {}
        if "logits_to_keep" in inspect.signature(model.forward).parameters:
            self.one_position = {"logits_to_keep": 1}  # the vocabulary's scores of the last position alone

    def tokens(self, text: str) -> list[int]:
        own = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return [*self._before, *own]

    def text(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True)

    def read(self, tokens: Sequence[int]) -> Beginning:
        return _CausalBeginning(self, _CausalReading(self, torch.tensor([list(tokens)]), None).kept)


class _CausalBeginning:
    def __init__(self, asked: AskedCausalModel, kept: Any) -> None:
        self._asked, self._kept = asked, kept

    def go_on(self, endings: Tensor, further: int) -> Reading:
        kept = copy.deepcopy(self._kept)  # what is read next is added in place
        if len(endings) > 1:
            kept.batch_repeat_interleave(len(endings))
        return _CausalReading(self._asked, endings, kept)


class _CausalReading:
    """Attributes: as of :class:`ablation.baselines.asking.Reading`; ``kept`` are keys and values."""

    def __init__(self, asked: AskedCausalModel, tokens: Tensor, kept: Any) -> None:
        self._asked, self.kept = asked, kept
        self._read(tokens)

    @torch.inference_mode()
    def _read(self, tokens: Tensor) -> None:
        asked = self._asked
        read = asked.model(
            input_ids=tokens.to(asked.model.device), past_key_values=self.kept, use_cache=True, **asked.one_position
        )
        self.logits, self.kept = read.logits[:, -1], read.past_key_values

    def step(self, tokens: Tensor) -> None:
        self._read(tokens[:, None])
