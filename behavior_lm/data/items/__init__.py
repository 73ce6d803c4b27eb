"""Items of users, in order: what recommenders read instead of event pairs."""
