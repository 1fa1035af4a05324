"""Prefect's server, MLflow's server and a worker on this machine: `make up` and `make down`.

supervisord keeps them alive; nothing here stays running itself.
"""
