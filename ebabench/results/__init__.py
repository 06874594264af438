"""Numbers to a leaderboard: runs, aggregation, comparison, tables, pictures."""
