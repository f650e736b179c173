"""What an experiment is about: its data, metrics, columns and questions. Only commands name a task."""
