"""The models: an adapter is one card (NAME.toml) and at most one small module. Installed as ``ebabench.models``."""
