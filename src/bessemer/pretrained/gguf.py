"""From a GGUF file, as llama.cpp reads it, to the three files of a base (PyTorch, gguf)."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr
from pathlib import Path

from bessemer.core.errors import CorruptError, DataError, needs
from bessemer.pretrained.resolve import CONFIG, CONFIG_KEYS, TOKENISER, WEIGHTS


def convert(gguf: Path, target: Path) -> None:
    """Write `model.safetensors`, `config.json` and `tokenizer.json` into the folder `target`.

    The weights are the transformer's, without the output layer, unpacked and stored as float16,
    which is finer than what packing into 8 bits or fewer has left; bfloat16 would not be.
    A model of 270 million parameters takes a minute or two.

    Args:
        gguf: One whole file; parts of a split one must be joined first.
        target: A folder that exists; files of these names in it are replaced.

    Raises:
        MissingExtraError: A package that reads GGUF files is not installed.
        DataError: The file is no GGUF, or of an architecture that transformers does not read.
        CorruptError: The file lacks weights that its architecture has.
    """
    # transformers asks for both with a plain ImportError.
    with needs("gemma"):
        import gguf as _  # noqa: F401
    with needs("train"):
        import accelerate  # noqa: F401
        import torch
        from safetensors.torch import save_file
        from transformers import AutoModel, AutoTokenizer, GgufConfig

    source = {"gguf_file": gguf.name, "local_files_only": True}
    try:
        # Its bars go to a log file as well, and no option turns them off.
        with redirect_stderr(io.StringIO()):
            model, found = AutoModel.from_pretrained(
                gguf.parent,
                quantization_config=GgufConfig(dequantize=True),
                dtype=torch.float32,
                output_loading_info=True,
                **source,
            )
        tokeniser = AutoTokenizer.from_pretrained(gguf.parent, **source)
    except (OSError, ValueError, KeyError, IndexError) as error:
        first_line = str(error).strip().partition("\n")[0].rstrip(".")
        raise DataError(
            f"{gguf} cannot be read as GGUF: {first_line}.",
            remedy="Choose a file that transformers supports, and join its parts if it is split.",
        ) from error
    if missing := sorted(found["missing_keys"]):
        raise CorruptError(
            f"{gguf} lacks {len(missing)} tensors, the first of them {missing[0]!r}."
        )
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, target / WEIGHTS, metadata={"format": "pt"})
    settings = model.config.to_dict()
    config = {key: value for key, value in settings.items() if key in CONFIG_KEYS}
    (target / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tokeniser.backend_tokenizer.save(str(target / TOKENISER))
