"""The array wing's networks: cells, the scan over time, decoders, outputs. Speaks JAX, never pandas."""
