"""Windows as integer indices over a panel, gathered inside the compiled step."""
