"""What people type who know other programs, and what it is called here: hints beside a flag that is not known."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from ablation.config.values import letters

# What --method takes -> words that mean it elsewhere.
METHOD_WORDS: dict[str, str] = {
    "lora with --lora_scaling alpha_over_sqrt_rank": "rslora use_rslora rank_stabilized rank_stabilised",
    "dora": "use_dora weight_decomposed",
    "dylora": "dynamic_lora",
    "serial_adapter": "adapter adapters houlsby adapter_tuning bottleneck_adapter",
    "serial_adapter with --adapter_after feed_forward": "pfeiffer",
    "parallel_adapter": "scaled_parallel_adapter scaled_parallel par_adapter",
    "hybrid": "mam mam_adapter mix_and_match",
    "prefix_tuning": "prefix p_tuning_v2 ptuning_v2 prefix_tune",
    "soft_prompt": "prompt_tuning prompt prompts soft_prompts soft_prompt_tuning p_tuning ptuning",
    "ia3": "ia_3 t_few",
    "bitfit": "bias biases bias_only",
    "norms": "norm layer_norm layernorm ln ln_tuning",
}
# What to type here -> words that mean it elsewhere. Of several that fit, the first that the command has is named.
MEANINGS: dict[str, str] = {
    "--learning_rate": "lr step_size",
    "--quiet": "q silent no_progress",
    "--max_len": "max_length max_seq_length seq_len sequence_length context_length block_size max_tokens",
    "--n_samples": "samples num_samples n_sentences sentences generate",
    "--decoding": "sampling sampler strategy decode do_sample",
    "--temperature": "temp t",
    "--n_train": "train_size num_train train_samples max_train_samples",
    "--n_validation": "n_dev n_val num_validation dev_size",
    "--select_by": "metric_for_best_model select choose monitor",
    "--tie_head": "tie tie_weights tie_word_embeddings weight_tying",
    "--dropout": "drop_rate drop p_drop resid_pdrop",
    "--patience": "early_stopping early_stop early_stopping_patience",
    "--validation_file": "dev_file val_file",
    "--num_epochs": "epochs epoch n_epochs train_epochs num_train_epochs max_epochs",
    "--max_steps": "steps iterations iters num_steps max_iters",
    "--batch_size": "bs batch train_batch_size micro_batch_size per_device_train_batch_size",
    "--accumulation_steps": "gradient_accumulation_steps gradient_accumulation grad_accum accumulate_grad_batches",
    "--weight_decay": "wd decay",
    "--row": "rows experiment exp",
    "--rows": "row experiments",
    "--seed": "seeds random_seed manual_seed random_state",
    "--seeds": "seed random_seed random_state",
    "--order_seed": "shuffle_seed data_seed",
    "--eval_freq": "eval_steps eval_every eval_interval logging_steps",
    "--eval_iter": "eval_iters eval_batches",
    "--precision bf16": "fp16 bf16 float16 bfloat16 half amp mixed_precision",
    "--precision": "dtype torch_dtype",
    "--device gpu": "gpu gpus cuda use_gpu use_cuda",
    "--device cpu": "cpu no_gpu no_cuda use_cpu",
    "--model": "run run_dir run_id checkpoint ckpt model_path",
    "--model_size": "model models model_name model_type size arch architecture",
    "--weights_path": "checkpoint ckpt load load_from model_path model_name_or_path pretrained_model_name_or_path base",
    "--weights random": "random random_weights random_init from_scratch scratch no_pretrained",
    "--weights": "pretrained init initialization",
    "--trainable_layers lora": "lora use_lora",
    "--method": "peft peft_method peft_type adapter_type tuner finetuning_method",
    **{f"--method {method}": words if " " in method else f"{method} {words}" for method, words in METHOD_WORDS.items()},
    "--lora_targets": "target_modules lora_target_modules lora_modules lora_target lora_layers targets",
    "--lora_scaling": "scaling lora_scale",
    "--lora_init": "init_lora_weights init_lora",
    "--bottleneck": "bottleneck_size bottleneck_dim adapter_size adapter_dim adapter_width reduction_factor",
    "--prefix_length": "num_virtual_tokens prefix_len prefix_tokens n_prefix pre_seq_len",
    "--prompt_length": "prompt_len prompt_tokens n_prompt soft_prompt_length",
    "--from_block": "from_layer first_block start_block start_layer layers_to_transform first_layer",
    "--trainable_layers": "layers method train_layers trainable freeze unfreeze",
    "--lora_rank": "rank r lora_r",
    "--lora_alpha": "alpha",
    "--trainable_token_pos": "trainable_token token token_pos position readout",
    "--average_embeddings": "average mean mean_pooling pooling pool",
    "--context_length": "max_length max_len max_seq_length seq_len sequence_length block_size",
    "--no_padding": "unpadded no_pad pad padding",
    "--padding_side": "pad_side padding pad pad_left left_padding left_pad",
    "--truncation_side": "truncation truncate cut_side truncate_left",
    "--mask_padding": "attention_mask mask_pads mask_pad pad_mask padding_mask use_attention_mask",
    "--shift_positions": "position_ids shift_position_ids position_offset",
    "--disable_causal_mask": "no_mask no_causal no_causal_mask causal bidirectional",
    "--n_layers": "num_layers n_layer num_hidden_layers depth",
    "--emb_dim": "hidden_size hidden_dim n_embd d_model width",
    "--n_heads": "num_heads heads n_head num_attention_heads",
    "--results_dir": "output_dir output out outdir out_dir output_path save_dir log_dir logdir results",
    "--data_dir": "data data_path dataset dataset_dir",
    "--models_dir": "model_dir weights_dir cache_dir",
    "--feature_cache": "cache features",
    "--jobs": "j workers num_workers n_jobs parallel processes",
    "--threads": "num_threads n_threads cpus num_workers workers",
    "--save_model": "save save_checkpoint save_weights keep_model",
    "--dry_run": "dry plan simulate estimate",
    "--retry_failed": "retry rerun",
    "--offline": "no_download no_network local local_files_only",
    "--list_rows": "list ls show_rows",
    "--demo": "toy tiny example sample smoke smoke_test",
    "--file": "input input_file infile in",
    "--format": "json csv jsonl output_format",
    "--version": "v",
}
# Words -> a flag that only some commands have -> what those do in place of what is looked for.
HABITS: dict[str, dict[str, str]] = {
    "resume continue restart resume_from_checkpoint start_from skip_existing": {
        "--jobs": "the same command goes on, because runs that the results hold are skipped",
        "--save_model": "a run that was stopped starts anew; sweep.py skips runs that the results hold",
        "--vocabulary": "the same command goes on from where it stopped",
    },
    "model model_size model_name size weights": {"--vocabulary": "the size stands alone: gpt_download.py small"},
    "overwrite overwrite_output_dir append": {
        "--results_dir": "nothing is overwritten; for results apart from these give another --results_dir",
    },
    "wandb tensorboard report_to log logging log_file": {
        "--save_model": "losses and predictions are kept in the run's folder below --results_dir; report.py shows them",
    },
    "optimizer optim scheduler lr_scheduler lr_scheduler_type warmup warmup_steps": {
        "--dropout": "as published it is Adam at a constant rate; --learning_rate sets it",
        "--learning_rate": "as published it is AdamW at a constant rate; --learning_rate and --weight_decay set it",
    },
    "dropout drop_rate": {"--weight_decay": "as published nothing is dropped out"},
    "trainable_token_pos average_embeddings no_padding padding_side truncation_side mask_padding shift_positions"
    " disable_causal_mask ignore_index accumulation_steps weight_decay"
    " eval_freq eval_iter feature_cache feature_memory data_file labels text_column label_column measure_forgetting": {
        "--select_by": "that is for classifiers: additional_experiments.py takes it",
    },
    "decoding temperature top_k top_p n_samples select_by validation_bleu blocks tie_head patience": {
        "--average_embeddings": "that is for language models: generation_experiments.py takes it",
    },
}


def hint(unknown: Sequence[str], known: Sequence[str]) -> str:
    """What was probably meant by arguments that a command does not know; empty if nothing is near.

    Args:
        unknown: as typed.
        known: the flags of the command.
    """
    typed = [word.partition("=")[0] for word in unknown if re.match(r"--?[A-Za-z]", word)]
    sayings = [saying for flag in typed for saying in _habits(flag, known)]
    flags = [name for flag in typed for name in _nearest(flag, known)]
    if not typed and unknown and unknown[0].isdecimal():
        flags = [f"{name} {unknown[0]}" for name in ("--row", "--rows") if name in known]
    elif not typed and unknown:  # a flag without its dashes
        flags = [name for name in known if len(name) > 3 and letters(name) == letters(unknown[0])]
    question = [f"did you mean {' and '.join(dict.fromkeys(flags))}?"] if flags else []
    return "; ".join([*dict.fromkeys(sayings), *question])


def _habits(flag: str, known: Sequence[str]) -> list[str]:
    for words, sayings in HABITS.items():
        if letters(flag) in map(letters, words.split()):
            return [saying for of_command, saying in sayings.items() if of_command in known][:1]
    return []


def _nearest(flag: str, known: Sequence[str]) -> list[str]:
    """The known flag of the same letters or meaning, that begins so, or that looks like it; none after a habit."""
    own = letters(flag)
    if _habits(flag, known):
        return []
    steps: tuple[Iterable[str], ...] = (
        (name for name in known if letters(name) == own),
        (what for what, words in MEANINGS.items() if own in map(letters, words.split()) and _has(known, what)),
        _beginning_with(own, known),
        difflib.get_close_matches(flag, known, n=1),
    )
    return next(([name] for step in steps for name in step), [])


def _has(known: Sequence[str], what: str) -> bool:
    return what.partition(" ")[0] in known


def _beginning_with(own: str, known: Sequence[str]) -> list[str]:
    found = [name for name in known if len(own) > 2 and letters(name).startswith(own)]
    return found if len(found) == 1 else []
