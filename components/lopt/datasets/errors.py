"""What goes wrong with data sets."""


class DataSetError(Exception):
    """A data set is unknown, cannot be obtained, or is not what its manifest says.

    The message says which data set or file, what was found and what to do.

    **Example**

    ```python
    try:
        data_set = lopt.datasets.open_dataset(directory)
    except lopt.datasets.DataSetError as error:
        print(error)
    ```
    """


class NotPreparedError(DataSetError):
    """A data set is known, but has not been prepared where it was looked for.

    **Example**

    ```python
    try:
        directory = lopt.datasets.dataset_directory("digits", root)
    except lopt.datasets.NotPreparedError:
        directory = lopt.datasets.prepare("digits", root).directory
    ```
    """
