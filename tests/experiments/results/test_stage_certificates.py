"""What certificates of stages say on the page: cost, restarts, where the rows were written."""

import pytest

from prismlab.experiments.certificate import contents, environment, statement
from prismlab.experiments.results import stage_certificates
from prismlab.experiments.statistics import results_table

HERE = environment.Environment({}, {"jax": "0.10"}, "cpu", 1, 1, "processor", 1, "Linux x86_64")


def certificate(origin="smoke.gin:7", flops=8e6, clips=64):
    tried = (contents.Attempt(0, 3, 10.0, 1, "killed", 0.0), contents.Attempt(3, 8, 7190.0, 1, "done", 20.0))
    return contents.Certificate(
        "stage", "stage1", {"checkpoints/8/learner": "ab" * 32}, "0" * 16, {}, HERE,
        environment.Source("c" * 40), bindings=(contents.Binding("recipe.Ablation.rows", "{}", origin),),
        attempts=tried, cost=contents.Cost(clips, None, flops, 7200.0, 10.0), notes={"seed": 0},
    )  # fmt: skip


@pytest.fixture
def home(tmp_path):
    for name, each in {
        "a": certificate(),
        "b": certificate("other.gin:9", None),
        "c": certificate(flops=None, clips=0),
    }.items():
        (tmp_path / "stages" / name).mkdir(parents=True)
        statement.write(each, tmp_path / "stages" / name / statement.NAME)
    return tmp_path


def test_costs_restarts_and_origin_are_read(home):
    found = stage_certificates.read(home, ("a", "b", "c", "without"))
    assert found.hours == {"a": 2.0, "b": 2.0, "c": 2.0}
    assert found.flops == {"a": 8e6, "c": 0.0}  # those of "b" were not counted, "c" is untrained
    assert found.restarts("a") == "1 restart (killed)"
    assert found.restarts("without") == ""
    assert stage_certificates.read(home, ("a", "c")).origin("recipe.Ablation.rows") == "smoke.gin:7"
    assert found.origin("recipe.Ablation.rows") is None  # from two recipes


def test_the_page_has_the_checklist_and_names_what_cannot_be_read(home):
    (home / "stages" / "b" / statement.NAME).write_text("{}")
    said = dict(stage_certificates.read(home, ("a", "b")).told(results_table.Table(())))
    assert "We trained 1 stage" in said["For a paper's checklist"]
    assert said["Certificates of stages"] == f"a/certificate.json: learner {'ab' * 8}, {'c' * 12}, cpu"
    assert "is no certificate of this version" in said["Certificates that cannot be read"]
    assert stage_certificates.read(home, ()).told(results_table.Table(())) == ()
