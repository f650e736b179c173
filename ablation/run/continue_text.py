"""How a language model goes on from a text: for a person to read, kept nowhere."""

from __future__ import annotations

from dataclasses import replace

from ablation.config.decoding import Decoding
from ablation.config.generation import LanguageModelConfig
from ablation.data.message import MessageError, message_tokens
from ablation.listener import Listener
from ablation.run.frame import running
from ablation.run.inputs import RunError
from ablation.run.open_language_model import SavedLanguageModel, open_as_it_is, open_run
from ablation.run.speaking import Speaker

SHOWN = 40  # characters of a text in an error


def continue_text(
    text: str, samples: int, decoding: Decoding, config: LanguageModelConfig, saved: SavedLanguageModel | None
) -> list[str]:
    """Sentences that begin with a text, each in one line.

    Args:
        text: blanks around it do not count, as around the sentences that models are trained on.
        config: seed, longest sentence and device; where there is no run, of which GPT-2, too.
        saved: the run whose model speaks; None: GPT-2 as it is.

    Raises:
        ConfigError: the device is not there.
        RunError: the text is empty, too long, or none that the tokenizer reads.
        WeightsError, DownloadError: the model's parts cannot be had or used.
    """
    silent = Listener()
    with running(config) as (device, _):
        if not text.strip():  # before a model is loaded
            raise RunError(f"--generate {shown(text)}: the text is empty; give its first words")
        speaker = open_as_it_is(config, device, silent) if saved is None else open_run(saved, device, silent)
        speaker = replace(speaker, max_len=config.max_len, seed=config.seed)
        return list(speaker.texts(speaker.sentences(decoding, samples, _prompt(text, speaker))))


def _prompt(text: str, speaker: Speaker) -> list[int]:
    """The text's tokens; there is room for one more at least."""
    room = min(speaker.max_len, speaker.model.pos_emb.num_embeddings - 1) - 1
    try:
        tokens = message_tokens(speaker.tokenizer, text.strip(), room)
    except MessageError as error:
        raise RunError(f"--generate {shown(text)}: {str(error).replace('message', 'text')}") from None
    if tokens.count > room:
        raise RunError(
            f"--generate {shown(text)}: the text has {tokens.count} tokens, a sentence {room + 1} at most (--max_len),"
            " its continuation among them; shorten it, or give a larger --max_len"
        )
    return tokens.kept


def shown(text: str) -> str:
    """A text from outside in an error: in one line, and not all of it."""
    plain = text.encode("utf-8", "backslashreplace").decode()
    return repr(plain if len(plain) <= SHOWN else f"{plain[: SHOWN - 1]}…")
