"""A language model's values in transformers' own GPT-2."""

from __future__ import annotations

from typing import Any

import torch


def copy_into_twin(model: Any, twin: Any) -> None:
    """Give a ``GPT2LMHeadModel`` with a head of its own the values of a ``GPTModel`` of the same shape."""
    state = model.state_dict()
    body = twin.transformer
    with torch.no_grad():
        body.wte.weight.copy_(state["tok_emb.weight"])
        body.wpe.weight.copy_(state["pos_emb.weight"])
        twin.lm_head.weight.copy_(state["out_head.weight"])
        body.ln_f.weight.copy_(state["final_norm.scale"])
        body.ln_f.bias.copy_(state["final_norm.shift"])
        for index, block in enumerate(body.h):
            own = model.trf_blocks[index]
            projections = (own.att.W_query, own.att.W_key, own.att.W_value)
            block.attn.c_attn.weight.copy_(torch.cat([one.weight for one in projections]).T)
            block.attn.c_attn.bias.copy_(torch.cat([one.bias for one in projections]))
            for theirs, ours in (
                (block.attn.c_proj, own.att.out_proj),
                (block.mlp.c_fc, own.ff.layers[0]),
                (block.mlp.c_proj, own.ff.layers[2]),
            ):
                theirs.weight.copy_(ours.weight.T)
                theirs.bias.copy_(ours.bias)
            for norm, ours in ((block.ln_1, own.norm1), (block.ln_2, own.norm2)):
                norm.weight.copy_(ours.scale)
                norm.bias.copy_(ours.shift)
