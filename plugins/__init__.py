"""The Airflow plugin: the review page of the quarantine."""
