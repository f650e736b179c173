"""What is published where: addresses, sizes and hashes of GPT-2's weights, its vocabulary, messages and captions.

Hashes and sizes were collected from public projects that use the same files.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ablation.files.proof import sha256_of
from ablation.files.storage import is_there
from ablation.files.wanted import WantedFile
from ablation.files.weight_paths import WeightsError, weights_file

OPENAI = "https://openaipublic.blob.core.windows.net/gpt-2"
BOOK_MIRROR = "https://f001.backblazeb2.com/file/LLMs-from-scratch"
CHECKPOINT_BASES = (f"{OPENAI}/models", f"{BOOK_MIRROR}/gpt2")


@dataclass(frozen=True)
class Release:
    """Where one size of GPT-2 is published. Sizes in bytes; ``computed`` ones follow from the shapes."""

    huggingface_name: str
    revision: str
    safetensors_bytes: int
    safetensors_sha256: str
    openai_name: str
    checkpoint_bytes: int
    checkpoint_index_bytes: int
    computed: bool = False
    checkpoint_sha256: str | None = None
    checkpoint_index_sha256: str | None = None


RELEASES = {
    "gpt2-small (124M)": Release(
        "gpt2",
        "607a30d783dfa663caf39e06633721c8d4cfcd7e",
        548105171,
        "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
        "124M",
        497759232,
        5215,
        checkpoint_sha256="2060c885360cc0cf41d7a6dbc4d24b5127aae20260c8b5ae521b5a6578407118",
        checkpoint_index_sha256="71916f763f9746f9b2a06b12d91996cf1084ae008d0424543d39391c5f2dc687",
    ),
    "gpt2-medium (355M)": Release(
        "gpt2-medium",
        "6dcaa7a952f72f9298047fd5137cd6e4f05f41da",
        1519984962,
        "fc5a354a19255ad494f3d71549390baca1ccf61d1d822b9408971705c687c9cd",
        "355M",
        1419292672,
        10399,
    ),
    "gpt2-large (774M)": Release(
        "gpt2-large",
        "32b71b12589c2f8d625668d2335a01cac3249519",
        3247159078,
        "5f47f3e12f91cd33b662ce7e433b6150ad5512b5884a2cee961b50e9c3bbebce",
        "774M",
        3096120320,
        15535,
        computed=True,
    ),
    "gpt2-xl (1558M)": Release(
        "gpt2-xl",
        "15ea56dee5df4983c59b2538573817e1667135e2",
        6431829960,
        "0f8b28eb05a8075f48b61b6f35332978c74fc7763fa9fb4051a1c30511736a6a",
        "1558M",
        6230444800,
        20724,
        computed=True,
    ),
}

DATASET_ARCHIVE = WantedFile(
    "sms_spam_collection.zip",
    (
        "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip",
        f"{BOOK_MIRROR}/sms%2Bspam%2Bcollection.zip",
    ),
    size=203415,
    sha256="1587ea43e58e82b14ff1f5425c88e17f8496bfcdb67a583dbff9eefaf9963ce3",
    size_is_exact=False,  # archives elsewhere differ; the member's hash decides
)
DATASET_MEMBER, DATASET_NAME = "SMSSpamCollection", "SMSSpamCollection.tsv"
DATASET_SHA256 = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"

CAPTION_BASES = (
    "https://raw.githubusercontent.com/cctofu/text-generator/57ed50dceb98651dba68885d24cb0e30271b66fe/codes/data",
    "https://raw.githubusercontent.com/cyh2004/ANN_HW3/HEAD/codes/data",
)


def _captions(name: str, size: int, sha256: str) -> WantedFile:
    return WantedFile(name, tuple(f"{base}/{name}" for base in CAPTION_BASES), size, sha256, title=f"captions' {name}")


CAPTIONS = (  # to train on, to choose by, to test on; of the MS COCO annotations (CC BY 4.0)
    _captions("train.txt", 1488508, "2057703e48ee97148e0dac55ef8c0937e6f6d6b85376be2985370b1c58aab783"),
    _captions("dev.txt", 499510, "65d01084e4adb67ec65cecd90991d2087a4046d70146f32003249d567518f80f"),
    _captions("test.txt", 496183, "ba09677456a7f6224012a8370e7ac50bf59991c7137bacc4d8924ce7ebf397c0"),
)

# OpenAI's name, Hugging Face's for the same bytes, how many they are, and their hash.
VOCABULARY = (
    ("vocab.bpe", "merges.txt", 456318, "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"),
    ("encoder.json", "vocab.json", 1042301, "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"),
)


# ---- what of it is wanted --------------------------------------------------------------------------------------------


def huggingface_address(release: Release, file: str) -> str:
    """Address of one file of a pinned revision; HF_ENDPOINT replaces the host, for users of a mirror."""
    host = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    return f"{host.rstrip('/')}/openai-community/{release.huggingface_name}/resolve/{release.revision}/{file}"


def safetensors_file(size: str) -> WantedFile:
    release = RELEASES[size]
    return WantedFile(
        "model.safetensors",
        (huggingface_address(release, "model.safetensors"),),
        release.safetensors_bytes,
        release.safetensors_sha256,
        size_is_exact=not release.computed,
    )


def checkpoint_files(size: str) -> tuple[WantedFile, WantedFile]:
    """Index table and data shard of OpenAI's TensorFlow checkpoint; its CRCs prove what has no hash."""
    release = RELEASES[size]

    def file(name: str, size: int, sha256: str | None) -> WantedFile:
        addresses = tuple(f"{base}/{release.openai_name}/{name}" for base in CHECKPOINT_BASES)
        return WantedFile(name, addresses, size, sha256, size_is_exact=not release.computed)

    return (
        file("model.ckpt.index", release.checkpoint_index_bytes, release.checkpoint_index_sha256),
        file("model.ckpt.data-00000-of-00001", release.checkpoint_bytes, release.checkpoint_sha256),
    )


def vocabulary_files() -> tuple[WantedFile, ...]:
    """GPT-2's merges and token ids under tiktoken's own names, the SHA-1 of the addresses that it would ask."""
    files = []
    for name, huggingface_name, size, sha256 in VOCABULARY:
        official = f"{OPENAI}/encodings/main/{name}"
        mirror = huggingface_address(RELEASES["gpt2-small (124M)"], huggingface_name)
        cache_name = hashlib.sha1(official.encode(), usedforsecurity=False).hexdigest()
        files.append(WantedFile(cache_name, (official, mirror), size, sha256, title=f"GPT-2's {name}"))
    return tuple(files)


def weights_folder(size: str, models_dir: Path, source: str) -> Path:
    release = RELEASES[size]
    return models_dir / (release.huggingface_name if source == "huggingface" else release.openai_name)


def captions_folder(data_dir: Path) -> Path:
    return data_dir / "captions"


def vocabulary_folder(models_dir: Path) -> Path:
    return Path(os.environ.get("TIKTOKEN_CACHE_DIR") or models_dir / "tiktoken")


def has_checkpoint(size: str, models_dir: Path) -> bool:
    """Whether both files of a size's TensorFlow checkpoint are there."""
    folder = weights_folder(size, models_dir, "openai")
    return all(is_there(folder / file.name) for file in checkpoint_files(size))


def is_published_weights(path: Path, size: str) -> bool:
    """Whether the weights that a path means, a safetensors file or a TensorFlow checkpoint, are the published ones of a
    size, byte for byte; False where no hash is published, or nothing of that size.

    The file is read as a whole each time.

    Raises:
        DownloadError: it cannot be read.
    """
    if size not in RELEASES:
        return False
    try:
        found = weights_file(path)
    except WeightsError:
        return False
    if found.suffix == ".index":
        index, data = checkpoint_files(size)
        shard = found.with_suffix(Path(data.name).suffix)
        return _has_published_hash(found, index) and _has_published_hash(shard, data)
    return _has_published_hash(found, safetensors_file(size))


def _has_published_hash(path: Path, file: WantedFile) -> bool:
    if file.sha256 is None or not path.is_file() or file.exact_size not in (None, path.stat().st_size):
        return False
    return sha256_of(path) == file.sha256
