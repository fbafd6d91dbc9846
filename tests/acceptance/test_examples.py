"""Examples that need more than `bessemer check`: see also test_processes.py."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest
from huggingface_hub import InferenceClient, close_session
from huggingface_hub.errors import HfHubHTTPError
from tests.conftest import ROOT
from tests.families import tiny_decoder
from tests.server import running

from bessemer.service.platform import Platform


def test_the_chinese_reviews_are_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its table is made from a package; its real base takes minutes to convert."""
    place = shutil.copytree(ROOT / "examples" / "chinese-reviews", tmp_path / "p")
    arguments = ["make_table.py", "--train", "60", "--validation", "20", "--test", "20"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--to", str(place / "reviews.csv")])
    runpy.run_path(str(place / "make_table.py"), run_name="__main__")
    text = (place / "bessemer.yaml").read_text(encoding="utf-8")
    base = tiny_decoder(tmp_path / "decoder", layers=8)
    changed = text.replace("base: gemma3-270m", f"base: {base}")
    assert changed != text
    (place / "bessemer.yaml").write_text(changed, encoding="utf-8")
    platform = Platform.open(tmp_path / "home")
    found = platform.check(place)
    assert found.dataset.counts == {"train": 60, "validation": 20, "test": 20}
    assert found.dataset.labels == ("好评", "差评")
    platform.home.database.close()


def test_spans_are_learnt_and_served(tmp_path: Path) -> None:
    """The example with fewer epochs, over the protocols that give entities."""
    place = shutil.copytree(ROOT / "examples" / "order-entities", tmp_path / "p")
    text = (place / "bessemer.yaml").read_text(encoding="utf-8")
    changed = text.replace("epochs: 8", "epochs: 4").replace("at_least: 0.6", "at_least: 0.4")
    (place / "bessemer.yaml").write_text(changed, encoding="utf-8")
    platform = Platform.open(tmp_path / "home")
    done = platform.run(place)
    assert done.state == "succeeded", done.verdict
    assert done.report.headline == "f1"
    with running(platform) as server:
        text = "Where is “order” #48213? I paid £24.99 on 12 March, 你好 😍"
        answer = server.predict({"inputs": [text, "hello"]}, route="order-entities")
        found, _ = answer.json()
        assert {one["entity_group"] for one in found} & {"order_number", "money", "date"}
        for one in found:
            assert text[one["start"] : one["end"]] == one["word"]
            assert 0 < one["score"] <= 1
        model = "/v2/models/order-entities"
        [tensor] = server.http.get(model).json()["outputs"]
        assert tensor["name"] == "entities"
        inputs = [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}]
        told = server.http.post(f"{model}/infer", json={"inputs": inputs}).json()
        assert json.loads(told["outputs"][0]["data"][0]) == found
        client = InferenceClient(f"{server.url}/predict/order-entities", token=server.caller)
        wanted = [{**one, "entity": None} for one in found]  # the client knows one key more
        assert list(map(dict, client.token_classification(text))) == wanted
        label = found[0]["entity_group"]
        options = {"aggregation_strategy": "simple", "ignore_labels": [label, "O"]}
        rest = map(dict, client.token_classification(text, **options))
        assert list(rest) == [one for one in wanted if one["entity_group"] != label]
        for odd in ({"aggregation_strategy": "none"}, {"stride": 4}):
            with pytest.raises(HfHubHTTPError):
                client.token_classification(text, **odd)
        vector = server.http.post("/embed/order-entities", json={"inputs": text})
        assert vector.status_code == 400
        assert "vector for each token" in vector.json()["error"]
        close_session()
    platform.home.database.close()
