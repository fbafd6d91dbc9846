"""The Open Inference Protocol over gRPC, beside HTTP: loaded only where it is served."""
