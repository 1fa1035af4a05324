-- Run once by PostgreSQL's image, on an empty volume; the database `prefect` is made by the image.
CREATE DATABASE mlflow;
CREATE DATABASE mlflow_auth;
