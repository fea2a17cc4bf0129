"""Native kernels of the recurrence: C++ sources, their build, and the loader of what was built."""
