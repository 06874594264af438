"""Figures quoted from papers, with their sources: never measured here, never ranked."""
