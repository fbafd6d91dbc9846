"""The same methods as `bessemer.open()`, answered by a server's control plane."""

from bessemer.client.client import Client

__all__ = ["Client"]
