"""Many LoRA adapters in one PyTorch model, mixed in a batch by `adapter_names`.

    python run.py <model folder> <rows.json> <counts> <out.json>

Rows are token ids; batches of 32 are sorted by length, as the library's users can do, too.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

import psutil
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModel

BATCH, RANK = 32, 8
#: Rows that are timed; the whole set takes minutes.
TIMED = 640


def main(folder: str, rows: list[list[int]], counts: list[int]) -> dict[str, object]:
    torch.set_num_threads(2)
    model = AutoModel.from_pretrained(folder, attn_implementation="sdpa").eval()
    config = LoraConfig(r=RANK, target_modules=["query", "value"], init_lora_weights=False)
    model = get_peft_model(model, config, adapter_name="0").eval()
    rows = sorted(rows[:TIMED], key=len)
    speeds, known = {}, 1
    with torch.inference_mode():
        for count in counts:
            while known < count:
                model.add_adapter(str(known), config)
                known += 1
            best = []
            for _ in range(2):
                draws = random.Random(0)
                began = time.perf_counter()
                for start in range(0, len(rows), BATCH):
                    some = rows[start : start + BATCH]
                    longest = max(map(len, some))
                    ids = torch.tensor([row + [0] * (longest - len(row)) for row in some])
                    mask = torch.tensor([[1] * len(r) + [0] * (longest - len(r)) for r in some])
                    names = [str(draws.randrange(count)) for _ in some]
                    model(input_ids=ids, attention_mask=mask, adapter_names=names)
                best.append(len(rows) / (time.perf_counter() - began))
            speeds[str(count)] = max(best)
    return {"texts a second": speeds, "bytes": psutil.Process().memory_info().rss}


if __name__ == "__main__":
    place, source, numbers, out = sys.argv[1:]
    found = main(place, json.loads(Path(source).read_text()), json.loads(numbers))
    Path(out).write_text(json.dumps(found))
