"""The report: reads results, never trains, never imports torch."""
