import pytest

from tasks import links, tags

RUN = "#/experiments/1/runs/0a1b?workflowType=machine_learning"


def test_a_run_has_a_page_where_mlflow_has_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000/")
    assert links.mlflow_page("1", "0a1b") == f"http://127.0.0.1:5000/{RUN}"


def test_a_page_s_address_holds_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:s3cret@mlflow.example:5000")
    assert links.mlflow_page("1", "0a1b") == f"https://mlflow.example:5000/{RUN}"


def test_a_file_of_a_run_has_an_address_where_the_run_has_a_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000/")
    found = links.artifact_address("0a1b", "plots/the gate.png")
    query = "path=plots%2Fthe+gate.png&run_uuid=0a1b"
    assert found == f"http://127.0.0.1:5000/get-artifact?{query}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert links.artifact_address("0a1b", "plots/the gate.png") is None


def test_a_run_in_a_database_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert links.mlflow_page("1", "0a1b") is None


def test_a_browser_may_find_mlflow_elsewhere_than_flows_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    monkeypatch.setenv("LOPT_MLFLOW_UI_URL", "https://mlflow.example")
    assert links.mlflow_page("1", "0a1b") == f"https://mlflow.example/{RUN}"


def test_a_flow_run_is_found_where_flows_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    flow_run_id = "0a1b0a1b-0a1b-4a1b-8a1b-0a1b0a1b0a1b"
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", flow_run_id)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4300/api")
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4300/api"}):
        found = links.flow_run_page()
    assert found == f"http://127.0.0.1:4300/runs/flow-run/{flow_run_id}"


def test_nothing_leads_to_a_flow_run_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    assert set(links.tags_of_flow_run().values()) == {None}


def test_a_note_of_a_person_stays_where_a_run_is_resumed_and_ours_is_renewed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links, "flow_run_page", lambda: "http://127.0.0.1:4200/runs/flow-run/new")
    for before in ({}, {tags.NOTE: "[Flow run old in Prefect](http://127.0.0.1/old)"}):
        assert "/new" in str(links.tags_of_flow_run(before)[tags.NOTE])
    told = links.tags_of_flow_run({tags.NOTE: "Too noisy, see seed 3."})
    assert tags.NOTE not in told
