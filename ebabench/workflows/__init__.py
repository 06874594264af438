"""The verbs of the library: what the public API and the command line call."""
