"""Frozen suites, one TOML each. Rows of one suite id are comparable; any change makes a new id."""
