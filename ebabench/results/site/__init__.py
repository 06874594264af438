"""A static site of leaderboards: boards, models, targets with structures, metrics. No server, no network."""

from ebabench.results.site.build import Site, SuiteSite, build_site

__all__ = ["Site", "SuiteSite", "build_site"]
