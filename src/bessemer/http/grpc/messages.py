"""The protocol's messages, made from `inference.proto` in a pool of their own.

There can be one message of a name in a pool, and a client package in the same process, which has
the same names, takes them in protobuf's default pool.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from bessemer.core.errors import RequestError

SERVICE = "inference.GRPCInferenceService"


class Messages(NamedTuple):
    """The messages of one rpc."""

    request: Any
    response: Any


def _messages() -> dict[str, Messages]:
    pool = DescriptorPool()
    content = files(__package__).joinpath("inference.binpb").read_bytes()
    for file in FileDescriptorSet.FromString(content).file:
        pool.Add(file)
    return {
        rpc.name: Messages(GetMessageClass(rpc.input_type), GetMessageClass(rpc.output_type))
        for rpc in pool.FindServiceByName(SERVICE).methods
    }


#: Of all rpcs by name.
MESSAGES = _messages()


def parsed(data: bytes, message: Any) -> Any:
    """Return bytes as a message.

    Raises:
        RequestError: They are not that message.
    """
    try:
        return message.FromString(data)
    except DecodeError as error:
        raise RequestError(
            f"The {len(data)} bytes are no {message.DESCRIPTOR.full_name}.",
            remedy="Send the message of the protocol, its strings as UTF-8.",
        ) from error
