"""One target to numbers: the pair, the metrics, the noise floor, the record."""
