"""The SDK: how applications send their calls to Kafka, and tools that send recorded or made-up traffic."""
