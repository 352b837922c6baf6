"""What the daemons share: settings, journal, logging, life cycle, metrics. May know `etp`; `etp` never knows it."""
