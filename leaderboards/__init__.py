"""Published leaderboards, and figures quoted from papers (``published/``). Installed as ``ebabench.leaderboards``."""
