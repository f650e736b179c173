"""The same ways to fine-tune as people run them today: Hugging Face's GPT-2 with PEFT, padded, everything every step.

Where PEFT has no such method, the nearest that a person would use (``NEAREST`` says which): the formula itself as a
module behind a hook, or parameters of the plain model chosen by name. No dropout anywhere, as in what it is compared
with, and no cache of keys and values, which training has no use for.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablation.config.experiment import ExperimentConfig
from ablation.config.shapes import ModelShape
from benchmarks.floor import both, targets

# a linear map, as ablation/config/methods.py names it -> where Hugging Face's block has it
PLACES = {
    "query": "attn.c_attn", "key": "attn.c_attn", "value": "attn.c_attn", "out": "attn.c_proj", "ff_in": "mlp.c_fc",
    "ff_out": "mlp.c_proj",
}  # fmt: skip
_HOOKS = "PEFT has none for GPT-2: the formula as a module, by hooks"
# What is compared is not quite the same method.
NEAREST = {
    "lora": "one term for the three maps in `c_attn`",
    "dora": "one term for the three maps in `c_attn`",
    "dylora": "PEFT has none: LoRA at the full rank",
    "serial_adapter": _HOOKS,
    "parallel_adapter": _HOOKS,
    "hybrid": "PEFT's prefix, and the adapter by hooks; the prefix in all blocks",
    "prefix_tuning": "in all blocks",
    "ia3": "scales the queries, too",
    "bitfit": "the plain model's own parameters",
    "norms": "the plain model's own parameters",
}


def plain_model(shape: ModelShape, seed: int = 0) -> nn.Module:
    """Hugging Face's classifier with random values, read at the last position, pads included."""
    from transformers import GPT2Config, GPT2ForSequenceClassification

    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=shape.vocab_size, n_positions=shape.context_length, n_embd=shape.emb_dim, n_layer=shape.n_layers,
        n_head=shape.n_heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False, bos_token_id=None,
        eos_token_id=None,
    )  # fmt: skip
    config.num_labels = 2
    model = GPT2ForSequenceClassification(config)
    model.config.pad_token_id = -1  # no token: so the last position is read, as it is here
    return model


def adapted(plain: nn.Module, config: ExperimentConfig) -> nn.Module:
    """A copy of the plain model, adapted by the configuration's method and ready to train; its new head trains."""
    model = MAKERS[config.adaptation](copy.deepcopy(plain).requires_grad_(False), config)
    if config.lora_head != "frozen":
        for name, parameter in model.named_parameters():
            if "score." in name and "lora_" not in name and "original_module" not in name:
                parameter.requires_grad_(True)
    return model.train()


def optimizer(model: nn.Module, config: ExperimentConfig) -> torch.optim.Optimizer:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, tokens: Tensor, labels: Tensor) -> Tensor:
    """One update from token ids (B, T) and labels (B,); returns the loss."""
    loss = F.cross_entropy(model(tokens).logits, labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def blocks_of(model: Any) -> nn.ModuleList:
    return model.transformer.h


def _adapted_blocks(model: Any, config: ExperimentConfig) -> list[Any]:
    return list(blocks_of(model))[config.first_adapted_block :]


def _places(model: nn.Module, config: ExperimentConfig, names: list[str], head: bool = False) -> str:
    """An expression for PEFT that matches these layers from ``--from_block`` on."""
    blocks = "|".join(map(str, range(config.first_adapted_block, len(blocks_of(model)))))
    places = "|".join(map(re.escape, names))
    return rf".*\.h\.({blocks})\.({places})" + ("|score" if head else "")


def _low_rank(model: nn.Module, config: ExperimentConfig) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    names = sorted({PLACES[name] for name in targets(config) if name in PLACES})
    head = config.method is None or "head" in targets(config)  # the published form wraps every linear layer
    scaling = config.lora_scaling or ("alpha_over_rank" if config.adaptation == "dylora" else "alpha")
    own = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha * (config.lora_rank if scaling == "alpha" else 1),
        target_modules=_places(model, config, names, head),
        use_rslora=scaling == "alpha_over_sqrt_rank",
        use_dora=config.adaptation == "dora",
        fan_in_fan_out=True,
    )
    return get_peft_model(model, own)


def _ia3(model: nn.Module, config: ExperimentConfig) -> nn.Module:
    from peft import IA3Config, get_peft_model

    ff = _places(model, config, ["mlp.c_proj"])
    own = IA3Config(
        target_modules=_places(model, config, ["attn.c_attn", "mlp.c_proj"]), feedforward_modules=ff,
        fan_in_fan_out=True,
    )  # fmt: skip
    return get_peft_model(model, own)


def _prefix(model: nn.Module, config: ExperimentConfig) -> nn.Module:
    from peft import PrefixTuningConfig, get_peft_model

    own = PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=config.prefix_length or 0)
    return get_peft_model(model, own)


def _prompt(model: nn.Module, config: ExperimentConfig) -> nn.Module:
    from peft import PromptTuningConfig, get_peft_model

    own = PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=config.prompt_length or 0)
    return get_peft_model(model, own)


class _Adapter(nn.Module):
    def __init__(self, width: int, bottleneck: int, activation: Callable[[Tensor], Tensor], scale: float) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, bottleneck), nn.Linear(bottleneck, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)
        self.activation, self.scale = activation, scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.up(self.activation(self.down(x)))


def _gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _serial(model: Any, config: ExperimentConfig) -> nn.Module:
    width = model.config.n_embd
    for block in _adapted_blocks(model, config):
        for layer in (block.attn, block.mlp)[0 if both(config) else 1 :]:
            layer.adapter = _Adapter(width, config.bottleneck or 0, _gelu, 1.0)
            layer.register_forward_hook(_behind)
    return model


def _behind(layer: Any, inputs: Any, output: Any) -> Any:
    if isinstance(output, tuple):  # an attention gives its weights, too
        return output[0] + layer.adapter(output[0]), *output[1:]
    return output + layer.adapter(output)


def _parallel(model: Any, config: ExperimentConfig) -> nn.Module:
    for block in _adapted_blocks(model, config):
        block.mlp.adapter = _Adapter(model.config.n_embd, config.bottleneck or 0, F.relu, config.adapter_scale or 0.0)
        block.mlp.register_forward_hook(lambda layer, inputs, output: output + layer.adapter(inputs[0]))
    return model


def _hybrid(model: nn.Module, config: ExperimentConfig) -> nn.Module:
    with_prefix = _prefix(_parallel(model, config), config)  # which freezes what it finds
    for name, parameter in with_prefix.named_parameters():
        if ".adapter." in name:
            parameter.requires_grad_(True)
    return with_prefix


def _chosen(wanted: str) -> Callable[[Any, ExperimentConfig], nn.Module]:
    """Parameters of the plain model whose names match an expression."""

    def choose(model: Any, config: ExperimentConfig) -> nn.Module:
        for block in _adapted_blocks(model, config):
            for name, parameter in block.named_parameters():
                parameter.requires_grad_(re.search(wanted, name) is not None)
        return model

    return choose


MAKERS: dict[str, Callable[[Any, ExperimentConfig], nn.Module]] = {
    "lora": _low_rank,
    "dora": _low_rank,
    "dylora": _low_rank,
    "serial_adapter": _serial,
    "parallel_adapter": _parallel,
    "hybrid": _hybrid,
    "prefix_tuning": _prefix,
    "soft_prompt": _prompt,
    "ia3": _ia3,
    "bitfit": _chosen(r"\.bias$"),
    "norms": _chosen(r"^ln_"),
}
