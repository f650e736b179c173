"""An unfinished run's state on the disk, and the same run going on from it, to the bit.

What is kept: trainable parameters, the optimizer's moments, the random generators as they are and as they were when the
epoch began (the order of its batches follows from that), the place in the epoch, the losses so far, the time spent; and
of the frozen pass what is finished of it (:class:`ablation.execution.features.PrefixFeatures` keeps that).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from ablation.config.experiment import config_hash
from ablation.config.settings import CommonSettings
from ablation.environment import device_name, git_commit
from ablation.files.snapshots import Snapshot, Snapshots
from ablation.listener import Count, Listener, StepLosses
from ablation.results.result import History
from ablation.run.finite import NotFiniteError
from ablation.run.stopwatch import TOTAL, Stopwatch

TRAINING_SNAPSHOT = "training"
CHECKPOINTS = "checkpoints"  # the folder below the results, unless --checkpoint_dir says otherwise


# ---- the random generators ------------------------------------------------------------------------------------------


def generator_states() -> dict[str, Tensor]:
    """The states of PyTorch's global generators: the CPU's, and CUDA's if it is in use."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"cpu": torch.get_rng_state(), **{f"cuda{number}": state for number, state in enumerate(cuda)}}


def set_generators(states: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"].clone())
    if cuda := [states[f"cuda{number}"].clone() for number in range(len(states) - 1)]:
        torch.cuda.set_rng_state_all(cuda)


# ---- where training stands ------------------------------------------------------------------------------------------


@dataclass
class Progress:
    """Where training stands.

    Attributes:
        epoch: how many have ended.
        batch: how many batches of the next one are done.
        at_epoch: the generators' states when it began.
    """

    history: History = field(default_factory=History)
    epoch: int = 0
    batch: int = 0
    at_epoch: dict[str, Tensor] = field(default_factory=generator_states)

    def batches(self, loader: DataLoader) -> Iterator[Tensor]:
        """What is left of the epoch: those done before are drawn again, so that the rest is the same."""
        now = generator_states()
        set_generators(self.at_epoch)
        batches = iter(loader)
        for _ in islice(batches, self.batch):
            pass
        if self.batch:
            set_generators(now)
        return batches

    def epoch_ended(self) -> None:
        self.epoch, self.batch, self.at_epoch = self.epoch + 1, 0, generator_states()


def _history_facts(history: History) -> dict[str, Any]:
    facts = asdict(history)
    facts["evaluations"] = [list(asdict(losses).values()) for losses in history.evaluations]
    facts["epoch_counts"] = [[[c.correct, c.total] for c in counts] for counts in history.epoch_counts]
    return facts


def _history(facts: Mapping[str, Any]) -> History:
    return History(
        **{
            **facts,
            "evaluations": [StepLosses(*losses) for losses in facts["evaluations"]],
            "epoch_counts": [(Count(*train), Count(*validation)) for train, validation in facts["epoch_counts"]],
        }
    )


# ---- on the disk ----------------------------------------------------------------------------------------------------


class Checkpoint(Snapshots):
    """A run's snapshots, each with the time spent until it; see :class:`ablation.files.snapshots.Snapshots`.

    The folder is locked from the first use on. Should another process have it, that is said, and this one keeps none.

    Attributes:
        resumed: how often the run was gone on with.
    """

    def __init__(
        self, folder: Path, key: Mapping[str, Any], every: float, listener: Listener, watch: Stopwatch
    ) -> None:
        super().__init__(folder, key, every, listener.message)
        self._listener, self._watch, self.resumed = listener, watch, 0
        self._lock = FileLock(folder / "lock")
        self._refused = False

    def write(self, name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        if self._is_ours():
            super().write(name, tensors, {**facts, "spent": self._watch.spent(), "resumed": self.resumed})

    def read(self, name: str) -> Snapshot | None:
        found = super().read(name) if self.folder.exists() and self._is_ours() else None
        if found is not None:
            if not self.resumed:
                minutes = found.facts["spent"][TOTAL] / 60
                self._listener.message(f"going on from a checkpoint, {minutes:.1f} minutes in; --restart begins anew")
            self._watch.go_on_from(found.facts["spent"])
            self.resumed = max(self.resumed, found.facts["resumed"] + 1)
        return found

    def close(self) -> None:
        """Let others have the folder."""
        self._lock.release()

    def _is_ours(self) -> bool:
        if self._lock.is_locked or self._refused:
            return not self._refused
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            self._give_up("another process runs this very experiment; this one keeps none")
        except OSError as error:
            self._give_up(f"none will be kept ({error.strerror or error})")
        return not self._refused

    def _give_up(self, reason: str) -> None:
        self._refused, self._pause = True, math.inf
        self._listener.message(f"checkpoint: {reason} ({self.folder})")

    # ---- training

    def keep(self, progress: Progress, parameters: Sequence[nn.Parameter], optimizer: Optimizer) -> None:
        """Write down where training stands; no gradients may be waiting."""
        generators = {"now": generator_states(), "epoch": progress.at_epoch}
        place = {"epoch": progress.epoch, "batch": progress.batch, "history": _history_facts(progress.history)}
        self.write(TRAINING_SNAPSHOT, training_tensors(parameters, optimizer, generators), place)

    def restore(self, parameters: Sequence[nn.Parameter], optimizer: Optimizer) -> Progress:
        """Where training stood, parameters, moments and generators being as they were then; its beginning if nothing
        was kept."""
        kept = self.read(TRAINING_SNAPSHOT)
        if kept is None:
            return Progress()
        states = load_training_tensors(kept.tensors, parameters, optimizer)
        facts = kept.facts
        return Progress(_history(facts["history"]), facts["epoch"], facts["batch"], states["epoch"])


def training_tensors(
    parameters: Sequence[nn.Parameter], optimizer: Optimizer, generators: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Parameters, moments and states of the generators (at some times, by name) as a snapshot has them."""
    tensors: dict[str, Tensor] = {f"parameter.{number}": value for number, value in enumerate(parameters)}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"moment.{number}.{name}": value for name, value in moments.items()}
    for when, states in generators.items():
        tensors |= {f"generator.{when}.{name}": state for name, state in states.items()}
    return tensors


def load_training_tensors(
    tensors: Mapping[str, Tensor], parameters: Sequence[nn.Parameter], optimizer: Optimizer
) -> dict[str, dict[str, Tensor]]:
    """Give parameters, moments and generators what :func:`training_tensors` kept, the generators as they were "now";
    returns the generators' states at all times, by name. Tensors of other names are left alone."""
    with torch.no_grad():
        for number, parameter in enumerate(parameters):
            parameter.copy_(tensors[f"parameter.{number}"])
    moments: dict[int, dict[str, Tensor]] = {}
    states: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        group, _, rest = name.partition(".")
        of, _, part = rest.partition(".")
        if group == "moment":
            moments.setdefault(int(of), {})[part] = tensor
        elif group == "generator":
            states.setdefault(of, {})[part] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    set_generators(states["now"])
    return states


def checkpoint_key(
    task: str,
    config: CommonSettings,
    foreign: Mapping[str, str],
    weights_digest: str,
    data_digest: str,
    device: torch.device,
) -> dict[str, Any]:
    """All that the numbers of a run depend on, to the bit; ``foreign`` as for its hash."""
    return {
        "task": task,
        "config_hash": config_hash(config, foreign),
        "weights": weights_digest,
        "data": data_digest,
        "execution": config.execution,
        "device": device_name(str(device)),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "commit": git_commit(),
    }


@contextmanager
def open_checkpoint(
    config: CommonSettings, key: Mapping[str, Any], listener: Listener, watch: Stopwatch
) -> Iterator[Checkpoint | None]:
    """The checkpoint of the run that a configuration means; None where none is wanted.

    Args:
        key: what its numbers depend on: configuration, digests, versions, device.

    What a loss that is not finite leaves behind is of no use, and deleted.

    Raises:
        KeyboardInterrupt: there was one; its argument says what was kept.
    """
    if not config.checkpoint_every:
        yield None
        return
    base = Path(config.checkpoint_dir) if config.checkpoint_dir else Path(config.results_dir) / CHECKPOINTS
    checkpoint = Checkpoint(base / key["config_hash"][:16], key, 60 * config.checkpoint_every, listener, watch)
    if config.restart:
        checkpoint.remove()
    try:
        yield checkpoint
        if checkpoint.written:
            share = checkpoint.seconds / watch.spent()[TOTAL]
            listener.message(f"checkpoints: {checkpoint.written}, {checkpoint.seconds:.1f} s, {share:.1%} of the run")
    except NotFiniteError:
        checkpoint.remove()
        raise
    except KeyboardInterrupt as interrupt:
        if interrupt.args or not checkpoint.exists():
            raise
        raise KeyboardInterrupt(
            "nothing was appended to the results; the same command goes on from the last checkpoint"
        ) from None
    finally:
        checkpoint.close()
