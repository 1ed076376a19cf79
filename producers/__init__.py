"""The SDK: how applications send their calls to Kafka, and tools that send recorded or made-up traffic."""

from tokentide.producers.call import Call, current_call
from tokentide.producers.counts import ProducerStats
from tokentide.producers.errors import EventError, ProducerError
from tokentide.producers.memory_transport import MemoryTransport
from tokentide.producers.options import ProducerOptions
from tokentide.producers.producer import NullProducer, Producer

__all__ = [
    "Call",
    "EventError",
    "MemoryTransport",
    "NullProducer",
    "Producer",
    "ProducerError",
    "ProducerOptions",
    "ProducerStats",
    "current_call",
]
