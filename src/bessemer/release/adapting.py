"""Places for LoRA adapters in an encoder's ONNX graph: inputs, so that tasks come and go (onnx)."""

from __future__ import annotations

from collections.abc import Collection

import onnx
from onnx import TensorProto, helper

from bessemer.core.errors import ContractError
from bessemer.engines.lora.slots import DOWN, UP
from bessemer.engines.onnx import ADAPTER_INPUT


def add_places(model: onnx.ModelProto, modules: Collection[str]) -> None:
    """Let each row's own low-rank product be added to what some matrices make of it.

    New inputs are `adapter`, int64 [batch], the number of each row's slot, and for each matrix
    `<module>.down`, float32 [slots, in, rank], and `<module>.up`, float32 [slots, rank, out]. The
    graph gathers, so that its costs do not depend on how many tasks a batch mixes.

    Args:
        model: A graph in which a matrix product has the name of its module, before quantisation.
        modules: Names of the matrices in the transformer.

    Raises:
        ContractError: The graph has no such matrix.
    """
    if not modules:
        return
    graph = model.graph
    products = {_module(node): node for node in graph.node if node.op_type == "MatMul"}
    if unknown := sorted(set(modules) - products.keys()):
        raise ContractError(f"The graph has no matrix {unknown[0]!r} to adapt.")
    weights = {tensor.name: tensor for tensor in graph.initializer}
    graph.input.append(helper.make_tensor_value_info(ADAPTER_INPUT, TensorProto.INT64, ["batch"]))
    branches: dict[str, list[onnx.NodeProto]] = {}
    for module in sorted(modules):
        product = products[module]
        width, out = weights[product.input[1]].dims
        last = _biased(graph, product)
        down, up = module + DOWN, module + UP
        graph.input.extend(
            [
                helper.make_tensor_value_info(down, TensorProto.FLOAT, ["slots", width, "rank"]),
                helper.make_tensor_value_info(up, TensorProto.FLOAT, ["slots", "rank", out]),
            ]
        )
        whole, alone = last.output[0], f"{module}.base"
        last.output[0] = alone
        branches[alone] = [
            helper.make_node("Gather", [down, ADAPTER_INPUT], [f"{down}.own"]),
            helper.make_node("Gather", [up, ADAPTER_INPUT], [f"{up}.own"]),
            helper.make_node("MatMul", [product.input[0], f"{down}.own"], [f"{module}.low"]),
            helper.make_node("MatMul", [f"{module}.low", f"{up}.own"], [f"{module}.added"]),
            helper.make_node("Add", [alone, f"{module}.added"], [whole]),
        ]
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes += [node, *branches.get(node.output[0], ())]
    del graph.node[:]
    graph.node.extend(nodes)


def _module(node: onnx.NodeProto) -> str:
    """Return the name of a product's module: the exporter writes it with slashes."""
    path: str = node.name.removesuffix("/MatMul").replace("/", ".")
    return path.removeprefix(".transformer.")


def _biased(graph: onnx.GraphProto, product: onnx.NodeProto) -> onnx.NodeProto:
    """Return the node that adds a product's bias, or the product itself where there is none."""
    path = product.name.removesuffix("/MatMul")
    for node in graph.node:
        if node.name == f"{path}/Add" and product.output[0] in node.input:
            return node
    return product
