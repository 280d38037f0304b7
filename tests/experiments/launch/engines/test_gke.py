"""Manifests for GKE: an Argo Workflow of JobSets, and JobSets of workers, by the models of their APIs."""

import argparse
import dataclasses
import re

import pytest
import yaml

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.experiments.launch import executor, units
from prismlab.experiments.launch.engines import gke
from prismlab.experiments.recipe import resources

RUN = filesystem.parse_path("gs://bucket/run")
ASKED = {"image": "repo/prismlab:1", "topology": "v5e:2x2"}


def unit(name: str, *needs: str, **reserve: float) -> units.Unit:
    planned = argparse.Namespace(stage=argparse.Namespace(name=name), seed=0)
    return units.Unit(name, planned, "", ("row",), needs, reserve=resources.Resources(**reserve))


GRAPH = (unit("a_1-s0-0123456789abcdef"), unit("b-s0-89abcdef01234567", "a_1-s0-0123456789abcdef", "done"))


def order(graph=GRAPH, workdir=RUN, file="x.gin", bindings=(), jobs=None, **settings: str) -> executor.Order:
    return executor.Order(graph, file, bindings, workdir, jobs, {**ASKED, **settings})


def workflow(given: executor.Order) -> dict:
    """Return the workflow of an order, checked."""
    # Imported here, since it takes half a second.
    from hera.workflows.models.io.argoproj.workflow import v1alpha1 as argo

    (read,) = yaml.safe_load_all(gke.preview(given))
    checked = argo.Workflow.model_validate(read).model_dump(by_alias=True, exclude_unset=True)
    assert checked == read, "the API has no such field"
    return read


def jobsets(given: executor.Order) -> list[dict]:
    """Return the JobSets of an order, of its workflow's steps or of its workers, checked."""
    from kubeflow_trainer_api.models import jobset_v1alpha2_job_set as jobset_model

    if given.settings.get("engine") == "jobset":
        found = list(yaml.safe_load_all(gke.preview(given)))
    else:
        steps = [each["resource"] for each in workflow(given)["spec"]["templates"] if "resource" in each]
        found = [yaml.safe_load(each["manifest"]) for each in steps]
    for each in found:
        checked = jobset_model.JobsetV1alpha2JobSet.from_dict(each)
        assert merged(checked.to_dict(), each) == checked.to_dict(), "the API has no such field"
    return found


def merged(model, given):
    """Return what an API has read, changed to what it was given wherever it dropped or changed a part."""
    if isinstance(given, dict) and isinstance(model, dict):
        return model | {key: merged(model.get(key), each) for key, each in given.items()}
    if isinstance(given, list) and isinstance(model, list) and len(model) == len(given):
        return [merged(*pair) for pair in zip(model, given)]
    return given


def pod(jobset: dict) -> dict:
    (job,) = jobset["spec"]["replicatedJobs"]
    return job["template"]["spec"]["template"]["spec"]


def test_each_unit_is_a_step_after_those_that_it_needs():
    read = workflow(order(jobs=3, workflow_account="argo"))
    graph, *steps = read["spec"]["templates"]
    first, second = "a-1-s0-0123456789abcdef", "b-s0-89abcdef01234567"
    assert graph["dag"] == {
        "failFast": False,
        "tasks": [
            {"name": first, "template": first},
            {"name": second, "template": second, "depends": first},
        ],
    }
    assert (read["spec"]["parallelism"], read["spec"]["serviceAccountName"]) == (3, "argo")
    assert [each["name"] for each in steps] == [first, second]
    for each in steps:
        assert each["resource"]["setOwnerReference"]
        assert each["resource"]["failureCondition"] == "status.terminalState == Failed"
    made = jobsets(order())
    assert [each["metadata"]["generateName"] for each in made] == ["prismlab-01234567-", "prismlab-89abcdef-"]
    for each, own in zip(made, GRAPH):
        assert pod(each)["containers"][0]["command"] == [
            "prismlab", "run-unit", own.name, "x.gin", "--workdir", "gs://bucket/run",
        ]  # fmt: skip
        assert each["metadata"]["annotations"]["prismlab/unit"] == own.name


def test_a_unit_that_fails_is_not_started_again_and_fail_fast_stops_the_others():
    (first, _) = jobsets(order())
    job = first["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [2, 4]
    assert first["spec"]["failurePolicy"]["rules"][0]["action"] == "FailJobSet"
    stopping = executor.Order(GRAPH, "x.gin", (), RUN, None, ASKED, fail_fast=True)
    assert workflow(stopping)["spec"]["templates"][0]["dag"]["failFast"]
    workers = dataclasses.replace(stopping, settings={**ASKED, "engine": "jobset"})
    with pytest.raises(errors.UserError, match="--fail-fast needs Argo"):
        gke.preview(workers)


def test_kueue_gets_its_queue_and_what_a_unit_states():
    graph = (unit("a-0", cores=8, memory_gigabytes=1.5, chips=4), unit("b-1", chips=1), unit("c-2"))
    made = jobsets(order(graph, queue="tpus", topology="v5e:2x2,v5e:1x1,v5e:4x4"))
    assert {each["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] for each in made} == {"tpus"}
    shapes = [pod(each)["nodeSelector"]["cloud.google.com/gke-tpu-topology"] for each in made]
    assert shapes == ["2x2", "1x1", "2x2"]
    assert pod(made[0])["containers"][0]["resources"] == {
        "requests": {"google.com/tpu": 4, "cpu": 8, "memory": "1536Mi"},
        "limits": {"google.com/tpu": 4},
    }
    with pytest.raises(
        errors.UserError, match=r"train a-0, .* needs 64 chips, but the largest slice .* has 4;"
    ):
        gke.preview(order((unit("a-0", chips=64),)))


@pytest.mark.parametrize(
    ("topology", "hosts", "chips"), [("v5p:4x4x8", 32, 4), ("v5e:2x4", 1, 8), ("v6e:16x16", 64, 4)]
)
def test_without_argo_there_are_workers(topology, hosts, chips):
    """Each worker is a JobSet of one job: several jobs of one would be joined to a single run."""
    made = jobsets(order(engine="jobset", topology=topology, jobs=3))
    assert [each["metadata"]["generateName"] for each in made] == [f"prismlab-{n}-" for n in range(3)]
    for each in made:
        (job,) = each["spec"]["replicatedJobs"]
        assert job["replicas"] == 1
        inner = job["template"]["spec"]
        assert (inner["parallelism"], inner["completions"]) == (hosts, hosts)
        assert inner["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [4]
        assert pod(each)["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == topology.partition(":")[2]
        assert pod(each)["containers"][0]["resources"]["limits"]["google.com/tpu"] == chips
        assert pod(each)["containers"][0]["command"][:3] == ["prismlab", "worker", "x.gin"]


def test_faults_of_settings_are_told_all_at_once(tmp_path):
    given = executor.Order((), "x.gin", (), tmp_path, settings={
        "image": "x", "claim": "UPPER", "colour": "red", "restarts": "many"
    })  # fmt: skip
    with pytest.raises(errors.UserError) as told:
        gke.preview(given)
    assert len(str(told.value).splitlines()) == 4
    with pytest.raises(errors.UserError, match="engine='ray' is unknown"):
        gke.preview(order(engine="ray"))


def test_a_setting_cannot_break_out_of_the_manifest():
    evil = 'x"\n              privileged: true'
    for each in jobsets(order(image=evil)) + jobsets(order(image=evil, engine="jobset")):
        assert pod(each)["containers"][0]["image"] == evil


def test_the_command_arrives_as_it_was_given():
    """Kubernetes expands $(NAME) and reads $$ as $, and 1e3 as a number; Argo expands {{...}}."""
    words = (
        "a/\U0001f3ac clip.gin",
        "x='$(HOME) $$ $$(A) $(($'",
        '\u2028\x85\x7f\ufeff\u00e9\t\n"\\',
        "1e3",
        "{{x}}",
    )
    given = order(file=words[0], bindings=words[1:], image="\U0001f3ac")
    (step, _) = [each["resource"] for each in workflow(given)["spec"]["templates"] if "resource" in each]
    assert "{{" not in step["manifest"]
    assert '"1e3"' in step["manifest"]
    container = pod(jobsets(given)[0])["containers"][0]
    assert container["image"] == "\U0001f3ac"
    expand = lambda word: re.sub(
        r"\$(\$|\([^)]*\))", lambda found: "$" if found[1] == "$" else "expanded", word
    )
    assert tuple(map(expand, container["command"][3:8])) == words


def test_a_bucket_needs_no_disk_and_a_disk_is_mounted(tmp_path):
    (first, _) = jobsets(order(service_account="lab"))
    assert pod(first)["serviceAccountName"] == "lab"
    assert "volumes" not in pod(first)
    with pytest.raises(errors.UserError, match="claim is not allowed"):
        gke.preview(order(claim="results"))
    (first, _) = jobsets(order(workdir=tmp_path, claim="results", mount="/data"))
    assert pod(first)["volumes"][0]["persistentVolumeClaim"] == {"claimName": "results"}
    assert pod(first)["containers"][0]["volumeMounts"] == [{"name": "work", "mountPath": "/data"}]
    with pytest.raises(errors.UserError, match=r"claim=\.\.\. is needed"):
        gke.preview(order(workdir=tmp_path))


def test_the_manifest_is_written_where_the_results_go(somewhere, capsys):
    settings = {} if filesystem.is_remote(somewhere) else {"claim": "results"}
    gke.run(order(workdir=somewhere, **settings))
    assert yaml.safe_load((somewhere / gke.FILE).read_text())["kind"] == "Workflow"
    assert ("gcloud storage cat gs://bucket" in capsys.readouterr().out) == filesystem.is_remote(somewhere)
