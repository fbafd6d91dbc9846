"""Numbers: statistics, intervals, metrics and calibration, on plain arrays."""
