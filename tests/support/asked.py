"""A small model that is asked in words, character by character."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ablation.baselines.asked_models import AskedGPT
from ablation.baselines.asking import Beginning
from ablation.config.shapes import ModelShape
from previous_chapters import GPTModel

END = 126


class Characters:
    """What the models ask of tiktoken's encoding; a token is a printable character."""

    eot_token = END

    def encode_ordinary(self, text: str) -> list[int]:
        return [min(ord(character), END - 1) for character in text]

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(map(chr, tokens))


class CountingGPT(AskedGPT):
    """Counts the tokens that were read as beginnings, and in going on."""

    beginnings = endings = 0

    def read(self, tokens: Sequence[int]) -> Beginning:
        self.beginnings += len(tokens)
        beginning, outer = super().read(tokens), self

        class Counting:
            def go_on(self, endings: torch.Tensor, further: int) -> object:
                outer.endings += endings.numel()
                return beginning.go_on(endings, further)

        return Counting()  # type: ignore[return-value]


def small_gpt(context: int = 400) -> CountingGPT:
    """A random model in float64 whose likeliest token changes from position to position."""
    torch.manual_seed(3)
    model = GPTModel(ModelShape(vocab_size=127, context_length=context, emb_dim=16, n_layers=2, n_heads=2))
    model = model.double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(float(name.endswith("scale")), 0.3 if parameter.ndim == 2 else 0.1)
    return CountingGPT(model, Characters())  # type: ignore[arg-type]
