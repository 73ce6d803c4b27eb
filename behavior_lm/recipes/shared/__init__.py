"""What several recipes stand on: checks, models from configs, loaded runs."""
