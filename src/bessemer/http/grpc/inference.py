"""ModelInfer's messages: the body that REST takes, and its answer, in another encoding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bessemer.core.errors import RequestError
from bessemer.http import tensors
from bessemer.http.bodies import validated
from bessemer.http.infer import Inference, wanted
from bessemer.serve.answers import Answer

#: Where the values of a tensor lie that are not raw.
CONTENTS = {
    "BYTES": "bytes_contents",
    "FP64": "fp64_contents",
    "FP32": "fp32_contents",
    "INT64": "int64_contents",
    "INT32": "int_contents",
}


def body(request: Any) -> tuple[Inference, bytes]:
    """Return an inference, and the bytes that lie behind it if its contents are raw.

    Raises:
        RequestError: Contents are raw and typed at once, or too few; or it is no inference.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise RequestError(
            f"There are {len(request.inputs)} inputs and {len(raw)} raw contents.",
            remedy="Send one raw content for each input, or none.",
        )
    inputs = []
    for tensor in request.inputs:
        described = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        plain(tensor.parameters)
        inputs.append(described | _contents(tensor, raw))
    for output in request.outputs:
        plain(output.parameters)
    asked = {
        "inputs": inputs,
        "id": request.id or None,
        "outputs": [{"name": output.name} for output in request.outputs],
        "parameters": plain(request.parameters, "timeout"),
    }
    return validated(asked, Inference), b"".join(raw)


def _contents(tensor: Any, raw: Any) -> dict[str, Any]:
    """Return a tensor's values, or how many bytes of them lie behind the body."""
    filled = [field.name for field, _ in tensor.contents.ListFields()]
    allowed = [] if raw else [CONTENTS["BYTES"]]
    if odd := [name for name in filled if name not in allowed]:
        where = "beside raw contents" if raw else "of another datatype than BYTES"
        raise RequestError(
            f"{tensor.name} has {odd[0]}, {where}.",
            remedy="Send raw_input_contents, or else bytes_contents.",
        )
    if raw:
        return {"parameters": {"binary_data_size": sum(map(len, raw))}}
    values = tensor.contents.bytes_contents
    return {"data": [tensors.decoded(number, value) for number, value in enumerate(values)]}


def plain(parameters: Mapping[str, Any], *known: str) -> dict[str, Any]:
    """Return parameters as plain values.

    Raises:
        RequestError: One of them is not known.
    """
    if odd := sorted(set(parameters) - set(known)):
        raise RequestError(
            f"The parameter {odd[0][:80]!r} has no meaning here.",
            remedy=f"Known: {', '.join(known) or 'none'}.",
        )
    values = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        values[name] = None if choice is None else getattr(parameter, choice)
    return values


def rendered(
    model: str, asked: Inference, answer: Answer, count: int, *, raw: bool
) -> dict[str, Any]:
    """Return what ModelInfer answers, with raw contents or typed ones."""
    outputs, blobs = [], []
    for tensor, _ in wanted(asked, answer.task.describe()):
        datatype, values = tensor["datatype"], answer.tensors[tensor["name"]]
        output = {**tensor, "shape": [count, *tensor["shape"][1:]]}
        if raw:
            blobs.append(tensors.pack(datatype, values))
        else:
            typed = [value.encode() for value in values] if datatype == "BYTES" else values
            output["contents"] = {CONTENTS[datatype]: typed}
        outputs.append(output)
    return {
        "model_name": model,
        "model_version": answer.release,
        "id": answer.call if asked.id is None else asked.id,
        "outputs": outputs,
        "raw_output_contents": blobs,
    }
